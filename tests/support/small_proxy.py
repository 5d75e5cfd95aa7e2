"""A small db_proxy_server as somebody else would write one: text messages, unread counts, histories; a thread for each connection.

It reads ``dbproxyserver.conf`` in its working directory and knows nothing of this package but the messages of the protocol. Its first
arguments are the names of faults: ``ids-restart`` counts msg_ids in memory, ``group-unread`` forgets what a member has read, ``early-ack``
acknowledges a message a moment before it is stored, ``dies`` ends at the first message to a group, ``hangs`` stops answering there,
``short-length`` forgets the length of a PDU.
"""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pymysql
import redis

from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2 as msg

FAULTS = {"ids-restart", "group-unread", "early-ack", "dies", "hangs", "short-length"}
HEADER = struct.Struct(">IHHHHHH")


class Proxy:
    """The whole program: one lock, one connection to each store."""

    def __init__(self, config: dict[str, str], faults: set[str]) -> None:
        self.faults = faults
        self._lock = threading.RLock()
        self._ids: Counter[str] = Counter()
        name = "teamtalk_master"
        self._mysql = pymysql.connect(
            host=config[f"{name}_host"], port=int(config[f"{name}_port"]), user=config[f"{name}_username"],
            password=config[f"{name}_password"], database=config[f"{name}_dbname"], charset="utf8mb4", autocommit=True,
        )  # fmt: skip
        self._unread = self._cache(config, "unread")
        self._members = self._cache(config, "group_member")
        threading.Thread(target=self._sync, args=(float(config.get("SyncInterval", "5")),), daemon=True).start()

    def _sync(self, interval: float) -> None:
        """Say that the group sessions are up to date: they are written with each message."""
        while True:
            self._unread.set("last_update_group", int(time.time()))
            time.sleep(interval)

    @staticmethod
    def _cache(config: dict[str, str], pool: str) -> Any:
        return redis.Redis(config[f"{pool}_host"], int(config[f"{pool}_port"]), int(config[f"{pool}_db"]), decode_responses=True)

    def _query(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._mysql.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def handle(self, command: int, body: bytes, reply: Any) -> None:
        """Answer one request with ``reply(command id, message)``."""
        with self._lock:
            if command == base.CID_MSG_DATA:
                self._message(msg.IMMsgData.FromString(body), reply)
            elif command == base.CID_MSG_READ_ACK:
                self._read(msg.IMMsgDataReadAck.FromString(body))
            elif command == base.CID_MSG_UNREAD_CNT_REQUEST:
                self._unread_count(msg.IMUnreadMsgCntReq.FromString(body), reply)
            elif command == base.CID_MSG_LIST_REQUEST:
                self._history(msg.IMGetMsgListReq.FromString(body), reply)

    # messages

    def _message(self, request: msg.IMMsgData, reply: Any) -> None:
        is_group = request.msg_type in (base.MSG_TYPE_GROUP_TEXT, base.MSG_TYPE_GROUP_AUDIO)
        if is_group and "dies" in self.faults:
            os.abort()
        if is_group and "hangs" in self.faults:
            time.sleep(1000)
        if is_group and not self._members.hexists(f"group_member_{request.to_session_id}", str(request.from_user_id)):
            return
        now, text = int(time.time()), request.msg_data.decode()
        if is_group:
            key = f"group_msg_id_{request.to_session_id}"
        else:
            relate_id = self._relation(request.from_user_id, request.to_session_id, now)
            key = f"msg_id_{relate_id}"
        stored_id = self._unread.incr(key)
        self._ids[key] += 1
        request.msg_id = self._ids[key] if "ids-restart" in self.faults else stored_id

        def store() -> None:
            with self._lock:
                if is_group:
                    self._store_in_group(request, text, now)
                else:
                    self._store(request, relate_id, text, now)

        if "early-ack" in self.faults:
            threading.Timer(0.7, store).start()
        else:
            store()
        reply(base.CID_MSG_DATA, request)

    def _relation(self, user: int, peer: int, now: int) -> int:
        small, big = sorted((user, peer))
        rows = self._query("select id from IMRelationShip where smallId=%s and bigId=%s and status=0", small, big)
        if not rows:
            self._query("insert into IMRelationShip (smallId,bigId,status,created,updated) values (%s,%s,0,%s,%s)", small, big, now, now)
            rows = self._query("select last_insert_id()")
        return int(rows[0][0])

    def _store(self, request: msg.IMMsgData, relate_id: int, text: str, now: int) -> None:
        user, peer, when = request.from_user_id, request.to_session_id, request.create_time
        self._query(
            f"insert into IMMessage_{relate_id % 8} (relateId,fromId,toId,msgId,content,type,status,created,updated) "
            "values (%s,%s,%s,%s,%s,%s,0,%s,%s)",
            relate_id, user, peer, request.msg_id, text, request.msg_type, when, when,
        )  # fmt: skip
        for owner, other in ((user, peer), (peer, user)):
            self._session(owner, other, 1, now)
        self._unread.hincrby(f"unread_{peer}", str(user), 1)

    def _store_in_group(self, request: msg.IMMsgData, text: str, now: int) -> None:
        user, group, when = request.from_user_id, request.to_session_id, request.create_time
        self._query(
            f"insert into IMGroupMessage_{group % 8} (groupId,userId,msgId,content,type,status,created,updated) "
            "values (%s,%s,%s,%s,%s,0,%s,%s)",
            group, user, request.msg_id, text, request.msg_type, when, when,
        )  # fmt: skip
        self._query("update IMGroup set lastChated=%s where id=%s", now, group)
        self._session(user, group, 2, now)
        count = self._unread.hincrby(f"{group}_im_group_msg", "count", 1)
        self._unread.hset(f"{user}_{group}_im_user_group", "count", count)

    def _session(self, user: int, peer: int, kind: int, now: int) -> None:
        rows = self._query("select id from IMRecentSession where userId=%s and peerId=%s and type=%s", user, peer, kind)
        if rows:
            self._query("update IMRecentSession set updated=%s,status=0 where id=%s", now, rows[0][0])
        else:
            columns = "(userId,peerId,type,status,created,updated)"
            self._query(f"insert into IMRecentSession {columns} values (%s,%s,%s,0,%s,%s)", user, peer, kind, now, now)

    # lookups

    def _read(self, request: msg.IMMsgDataReadAck) -> None:
        user, session = request.user_id, request.session_id
        if request.session_type == base.SESSION_TYPE_SINGLE:
            self._unread.hdel(f"unread_{user}", str(session))
        else:
            count = self._unread.hget(f"{session}_im_group_msg", "count")
            if count:
                self._unread.hset(f"{user}_{session}_im_user_group", "count", count)

    def _unread_count(self, request: msg.IMUnreadMsgCntReq, reply: Any) -> None:
        answer = msg.IMUnreadMsgCntRsp(user_id=request.user_id, total_cnt=0, attach_data=request.attach_data)
        counts = [(1, int(peer), int(count)) for peer, count in sorted(self._unread.hgetall(f"unread_{request.user_id}").items())]
        rows = self._query("select groupId from IMGroupMember where userId=%s and status=0 order by updated desc,id", request.user_id)
        for (group,) in rows:
            count = int(self._unread.hget(f"{group}_im_group_msg", "count") or 0)
            own = int(self._unread.hget(f"{request.user_id}_{group}_im_user_group", "count") or 0)
            counts.append((2, group, count - (0 if "group-unread" in self.faults else own)))
        for kind, session, count in counts:
            last = self._last(request.user_id, session, kind) if count > 0 else None
            if last is None:
                continue
            answer.total_cnt += count
            answer.unreadinfo_list.add(
                session_id=session, session_type=kind, unread_cnt=count,
                latest_msg_id=last[0], latest_msg_data=last[1].encode(), latest_msg_type=last[2], latest_msg_from_user_id=last[3],
            )  # fmt: skip
        reply(base.CID_MSG_UNREAD_CNT_RESPONSE, answer)

    def _last(self, user: int, session: int, kind: int) -> tuple[Any, ...] | None:
        rows = self._rows(user, session, kind, 0, 1)
        return rows[0] if rows else None

    def _rows(self, user: int, session: int, kind: int, begin: int, count: int) -> list[tuple[Any, ...]]:
        if kind == 1:
            small, big = sorted((user, session))
            found = self._query("select id from IMRelationShip where smallId=%s and bigId=%s and status=0", small, big)
            if not found:
                return []
            table, where, sender, key = f"IMMessage_{found[0][0] % 8}", "relateId", "fromId", found[0][0]
        else:
            table, where, sender, key = f"IMGroupMessage_{session % 8}", "groupId", "userId", session
        below = f"and msgId<={begin} " if begin else ""
        return self._query(
            f"select msgId,content,type,{sender},created from {table} where {where}=%s and status=0 {below}"
            "order by created desc,id desc limit %s",
            key, count,
        )  # fmt: skip

    def _history(self, request: msg.IMGetMsgListReq, reply: Any) -> None:
        answer = msg.IMGetMsgListRsp(
            user_id=request.user_id, session_type=request.session_type, session_id=request.session_id, msg_id_begin=request.msg_id_begin,
            attach_data=request.attach_data,
        )  # fmt: skip
        for row in self._rows(request.user_id, request.session_id, request.session_type, request.msg_id_begin, request.msg_cnt):
            answer.msg_list.add(msg_id=row[0], from_session_id=row[3], create_time=row[4], msg_type=row[2], msg_data=row[1].encode())
        reply(base.CID_MSG_LIST_RESPONSE, answer)


class Connection(socketserver.BaseRequestHandler):
    """Reads PDUs and answers them in their order."""

    proxy: Proxy

    def handle(self) -> None:
        """Serve one connection."""
        sock: socket.socket = self.request
        while (head := self._exactly(sock, HEADER.size)) is not None:
            length, _, _, service, command, seq, _ = HEADER.unpack(head)
            body = self._exactly(sock, length - HEADER.size) if length >= HEADER.size else None
            if body is None:
                return

            def reply(command_id: int, message: Any, service: int = service, seq: int = seq) -> None:
                data = message.SerializeToString()
                sock.sendall(
                    HEADER.pack(0 if "short-length" in self.proxy.faults else HEADER.size + len(data), 1, 0, service, command_id, seq, 0)
                    + data
                )

            try:
                self.proxy.handle(command, body, reply)
            except (ValueError, pymysql.MySQLError) as error:
                sys.stderr.write(f"command 0x{command:04x}: {error}\n")

    @staticmethod
    def _exactly(sock: socket.socket, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            part = sock.recv(count - len(data))
            if not part:
                return None
            data += part
        return data


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    allow_reuse_address = daemon_threads = True


def main() -> None:
    """Serve until the process is killed."""
    faults = set(sys.argv[1:])
    if faults - FAULTS:
        sys.exit(f"unknown faults: {', '.join(sorted(faults - FAULTS))}")
    lines = (line.partition("#")[0] for line in Path("dbproxyserver.conf").read_text(encoding="utf-8").splitlines())
    config = {key.strip(): value.strip() for key, equals, value in (line.partition("=") for line in lines) if equals}
    Connection.proxy = Proxy(config, faults)
    with Server((config["ListenIP"], int(config["ListenPort"])), Connection) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
