"""A login_server and a msg_server for tests, in front of a real proxy: real protocol, and they ask the proxy what a msg_server asks.

Small, but honest: one user per connection, everything stored and looked up by the proxy, replies matched by ``attach_data``, messages of
groups delivered after the proxy has named the members, 20 messages a second, no connection closed by a kick. Several msg_servers, files,
push notifications and the route_server's other tasks are left out.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from dbproxy.testing.pdu_stream import KIND_OF
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2 as buddy
from dbproxy.wire.pb import group_pb2 as group
from dbproxy.wire.pb import login_pb2 as login
from dbproxy.wire.pb import message_pb2 as message
from dbproxy.wire.pb import other_pb2, server_pb2
from dbproxy.wire.pdu import Framer, ImPdu, pack_pdu
from dbproxy.wire.pdu_kinds import PDU_KINDS

MESSAGES_PER_SECOND = 20

_ATTACHED = struct.Struct(">III")
"""Kind, connection, 0: what a msg_server sends along with each request."""

_FORWARDED = {
    KIND_OF[kind].command_id
    for kind in (
        login.IMPushShieldReq,
        login.IMQueryPushShieldReq,
        buddy.IMRecentContactSessionReq,
        buddy.IMUsersInfoReq,
        buddy.IMRemoveSessionReq,
        buddy.IMAllUserReq,
        buddy.IMDepartmentReq,
        buddy.IMChangeSignInfoReq,
        message.IMUnreadMsgCntReq,
        message.IMGetMsgListReq,
        message.IMGetMsgByIdReq,
        message.IMGetLatestMsgIdReq,
        group.IMNormalGroupListReq,
        group.IMGroupInfoListReq,
        group.IMGroupCreateReq,
        group.IMGroupChangeMemberReq,
        group.IMGroupShieldReq,
    )
}


class _Peer:
    """A connection of a chat client, or the one to the proxy."""

    def __init__(self, connection: socket.socket, handle: int) -> None:
        self.socket = connection
        self.handle = handle
        self.framer = Framer(1 << 24)
        self.user_id = 0
        self.client_type = 0
        self.second = 0.0
        self.sent_in_second = 0

    @property
    def mobile(self) -> bool:
        return self.client_type >> 4 == 1

    def send(self, body: Message, seq_num: int = 0) -> None:
        kind = KIND_OF[type(body)]
        with contextlib.suppress(OSError):
            self.socket.sendall(pack_pdu(kind.service_id, kind.command_id, seq_num, body.SerializePartialToString()))


class MessageServers:
    """Both servers in one thread of their own. ``silent`` may get command ids at any time: requests with these are ignored."""

    def __init__(self, proxy_port: int) -> None:
        self.silent: set[int] = set()
        self.registered = True
        """Whether the login_server knows the msg_server."""
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Peer] = {}
        self._online: dict[int, list[_Peer]] = {}
        self._next_handle = 1
        self._waker, wakened = socket.socketpair()
        self._selector.register(wakened, selectors.EVENT_READ, self._stop)
        self._stopping = False
        self._proxy = _Peer(socket.create_connection(("127.0.0.1", proxy_port), 10), 0)
        self._selector.register(self._proxy.socket, selectors.EVENT_READ, self._read_proxy)
        self.http_port = self._listen(self._answer_http)
        self.binary_port = self._listen(self._answer_binary)
        self.port = self._listen(self._accept)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def login_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def __enter__(self) -> MessageServers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waker.send(b"x")
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._waker.close()
        self._selector.close()

    def close_clients(self) -> None:
        """Cut all connections of chat clients, as a crash does. Any thread."""
        for peer in list(self._clients.values()):
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)

    # the loop

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(1):
                key.data()

    def _stop(self) -> None:
        self._stopping = True

    def _listen(self, accepted: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(listener, selectors.EVENT_READ, lambda: accepted(listener.accept()[0]))
        port: int = listener.getsockname()[1]
        return port

    # login_server

    def _answer_http(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            connection.recv(1024)
            ip = {"priorIP": "127.0.0.1", "backupIP": "127.0.0.1", "port": str(self.port), "msfsPrior": "", "discovery": ""}
            answer = {"code": 0, "msg": "", **ip} if self.registered else {"code": 1, "msg": "没有msg_server"}
            body = json.dumps(answer, ensure_ascii=False).encode()
            head = f"HTTP/1.1 200 OK\r\nConnection:close\r\nContent-Length:{len(body)}\r\nContent-Type:text/html;charset=utf-8\r\n\r\n"
            connection.sendall(head.encode() + body)

    def _answer_binary(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            request = Framer(1024).feed(connection.recv(1024))[0]
            assert request.command_id == base.CID_LOGIN_REQ_MSGSERVER
            if self.registered:
                answer = login.IMMsgServRsp(
                    result_code=base.REFUSE_REASON_NONE, prior_ip="127.0.0.1", backip_ip="127.0.0.1", port=self.port
                )
            else:
                answer = login.IMMsgServRsp(result_code=base.REFUSE_REASON_NO_MSG_SERVER)
            _Peer(connection, 0).send(answer, request.seq_num)

    # msg_server: clients

    def _accept(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = _Peer(connection, self._next_handle)
        self._next_handle += 1
        self._clients[peer.handle] = peer
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read_client(peer))

    def _read_client(self, peer: _Peer) -> None:
        try:
            data = peer.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        for pdu in peer.framer.feed(data):
            if pdu.command_id not in self.silent and peer.handle in self._clients:
                self._handle_client(peer, pdu)

    def _close(self, peer: _Peer) -> None:
        if self._clients.pop(peer.handle, None) is not None:
            self._selector.unregister(peer.socket)
            peer.socket.close()
            connections = self._online.get(peer.user_id, [])
            if peer in connections:
                connections.remove(peer)

    def _handle_client(self, peer: _Peer, pdu: ImPdu) -> None:
        kind = PDU_KINDS[pdu.command_id]
        request: Any = kind.message.FromString(pdu.body)
        if isinstance(request, other_pb2.IMHeartBeat):
            peer.send(request, pdu.seq_num)
        elif isinstance(request, login.IMLoginReq):
            peer.client_type = request.client_type
            asked = server_pb2.IMValidateReq(user_name=request.user_name, password=request.password)
            self._ask(peer, asked, pdu.seq_num)
        elif not peer.user_id:
            self._close(peer)
        elif isinstance(request, message.IMMsgData):
            self._send(peer, request, pdu.seq_num)
        elif isinstance(request, message.IMMsgDataReadAck):
            self._read_ack(peer, request)
        elif isinstance(request, message.IMClientTimeReq):
            peer.send(message.IMClientTimeRsp(server_time=int(time.time())), pdu.seq_num)
        elif isinstance(request, buddy.IMUsersStatReq):
            peer.send(self._status(request), pdu.seq_num)
        elif isinstance(request, login.IMLogoutReq):
            self._proxy.send(login.IMDeviceTokenReq(user_id=peer.user_id, device_token=""))
            peer.send(login.IMLogoutRsp(result_code=0), pdu.seq_num)
            self._close(peer)
        elif isinstance(request, login.IMKickPCClientReq):
            if peer.mobile:
                self._kick(peer, base.CLIENT_TYPE_MAC, base.KICK_REASON_MOBILE_KICK)
                peer.send(login.IMKickPCClientRsp(user_id=peer.user_id, result_code=0), pdu.seq_num)
        elif pdu.command_id in _FORWARDED and getattr(request, "group_type", 0) != base.GROUP_TYPE_NORMAL:
            request.user_id = peer.user_id
            self._ask(peer, request, pdu.seq_num)

    def _send(self, peer: _Peer, request: message.IMMsgData, seq_num: int) -> None:
        now = time.monotonic()
        if now - peer.second >= 1:
            peer.second, peer.sent_in_second = now, 0
        peer.sent_in_second += 1
        to_oneself = request.to_session_id == peer.user_id and request.msg_type < base.MSG_TYPE_GROUP_TEXT
        if request.msg_data and peer.sent_in_second <= MESSAGES_PER_SECOND and not to_oneself:
            request.from_user_id = peer.user_id
            request.create_time = int(time.time())
            self._ask(peer, request, seq_num)

    def _read_ack(self, peer: _Peer, request: message.IMMsgDataReadAck) -> None:
        request.user_id = peer.user_id
        self._proxy.send(request)
        notify = message.IMMsgDataReadNotify(
            user_id=peer.user_id, session_id=request.session_id, msg_id=request.msg_id, session_type=request.session_type
        )
        self._push(peer.user_id, notify, peer)

    def _status(self, request: buddy.IMUsersStatReq) -> buddy.IMUsersStatRsp:
        answer = buddy.IMUsersStatRsp(user_id=request.user_id)
        for user_id in request.user_id_list:
            online = any(not peer.mobile for peer in self._online.get(user_id, []))
            answer.user_stat_list.add(user_id=user_id, status=base.USER_STATUS_ONLINE if online else base.USER_STATUS_OFFLINE)
        return answer

    def _push(self, user_id: int, body: Message, but: _Peer | None = None) -> None:
        for peer in self._online.get(user_id, []):
            if peer is not but:
                peer.send(body)

    def _kick(self, by: _Peer, client_type: int, reason: base.KickReasonType) -> None:
        for peer in self._online.get(by.user_id, []):
            if peer is not by and peer.client_type >> 4 == client_type >> 4:
                peer.send(login.IMKickUser(user_id=by.user_id, kick_reason=reason))
                return

    # msg_server: the proxy

    def _ask(self, peer: _Peer, request: Any, seq_num: int, more: bytes | None = None) -> None:
        carried = b"" if more is None else struct.pack(">I", len(more)) + more
        request.attach_data = _ATTACHED.pack(1, peer.handle, 0) + carried
        self._proxy.send(request, seq_num)

    def _read_proxy(self) -> None:
        data = self._proxy.socket.recv(1 << 18)
        if not data:
            self._stopping = True
        for pdu in self._proxy.framer.feed(data):
            kind = PDU_KINDS[pdu.command_id]
            if pdu.command_id != base.CID_OTHER_HEARTBEAT:
                self._handle_proxy(kind.message.FromString(pdu.body), pdu.seq_num)

    def _handle_proxy(self, reply: Any, seq_num: int) -> None:
        attached = getattr(reply, "attach_data", b"")
        if len(attached) < _ATTACHED.size:
            return
        peer = self._clients.get(_ATTACHED.unpack_from(attached)[1])
        carried = attached[_ATTACHED.size + 4 :]
        reply.ClearField("attach_data")
        if isinstance(reply, message.IMMsgData):
            self._stored(peer, reply, seq_num)
        elif carried:
            self._deliver_to_members(peer, reply, message.IMMsgData.FromString(carried))
        elif peer is not None and isinstance(reply, server_pb2.IMValidateRsp):
            self._validated(peer, reply, seq_num)
        elif peer is not None:
            peer.send(reply, seq_num)
            if isinstance(reply, group.IMGroupChangeMemberRsp) and not reply.result_code:
                self._tell_members(peer, reply)

    def _validated(self, peer: _Peer, reply: server_pb2.IMValidateRsp, seq_num: int) -> None:
        result = base.REFUSE_REASON_DB_VALIDATE_FAILED if reply.result_code else base.REFUSE_REASON_NONE
        answer = login.IMLoginRes(server_time=int(time.time()), result_code=result, result_string=reply.result_string)
        if not result:
            peer.user_id = reply.user_info.user_id
            self._kick(peer, peer.client_type, base.KICK_REASON_DUPLICATE_USER)
            self._online.setdefault(peer.user_id, []).append(peer)
            answer.online_status = base.USER_STATUS_ONLINE
            answer.user_info.CopyFrom(reply.user_info)
        peer.send(answer, seq_num)
        if result:
            self._close(peer)

    def _stored(self, peer: _Peer | None, reply: message.IMMsgData, seq_num: int) -> None:
        if not reply.msg_id:
            return
        in_group = reply.msg_type >= base.MSG_TYPE_GROUP_TEXT
        if peer is not None:
            session_type = base.SESSION_TYPE_GROUP if in_group else base.SESSION_TYPE_SINGLE
            ack = message.IMMsgDataAck(
                user_id=reply.from_user_id, session_id=reply.to_session_id, msg_id=reply.msg_id, session_type=session_type
            )
            peer.send(ack, seq_num)
        if in_group:
            asked = group.IMGroupInfoListReq(user_id=reply.from_user_id)
            asked.group_version_list.add(group_id=reply.to_session_id, version=0)
            self._ask(peer or self._proxy, asked, 0, reply.SerializeToString())
        else:
            self._push(reply.from_user_id, reply, peer)
            self._push(reply.to_session_id, reply)

    def _deliver_to_members(self, peer: _Peer | None, reply: group.IMGroupInfoListRsp, sent: message.IMMsgData) -> None:
        sent.ClearField("attach_data")
        for info in reply.group_info_list:
            for user_id in info.group_member_list:
                self._push(user_id, sent, peer)

    def _tell_members(self, peer: _Peer, reply: group.IMGroupChangeMemberRsp) -> None:
        notify = group.IMGroupChangeMemberNotify(
            user_id=reply.user_id,
            change_type=reply.change_type,
            group_id=reply.group_id,
            cur_user_id_list=reply.cur_user_id_list,
            chg_user_id_list=reply.chg_user_id_list,
        )
        for user_id in (*reply.chg_user_id_list, *reply.cur_user_id_list):
            self._push(user_id, notify, peer)
