"""A blocking chat client, for whole installations: it talks to a msg_server as the programs of TeamTalk's users do: :class:`ChatClient`."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from dbproxy.errors import DbproxyError
from dbproxy.testing.chat_requests import GROUP, SINGLE, ChatRequests
from dbproxy.testing.chat_text import decrypt_text, encrypt_text
from dbproxy.testing.pdu_stream import KIND_OF, PduStream, ProtocolError
from dbproxy.testing.stack import AES_KEY
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, file_pb2, group_pb2, login_pb2, message_pb2, other_pb2, switch_service_pb2
from dbproxy.wire.pdu import ImPdu

if TYPE_CHECKING:
    from typing_extensions import Self

M = TypeVar("M", bound=Message)

MESSAGES_PER_SECOND = 20
"""A msg_server drops, without an answer, what a client sends above so many messages in a second."""

RATE_WINDOW = 1.2
"""Seconds in which no more than ``MESSAGES_PER_SECOND`` are sent: the server's seconds begin when its timer fires, which may be late."""

HEARTBEAT_INTERVAL = 30.0
"""Seconds, as the original's clients; a msg_server closes the connection of a PC after 120 s of silence, of a phone after 300 s."""

MAX_PUSHES = 1_000
MAX_PUSH_BYTES = 16 << 20

_PUSHED: dict[int, type[Message]] = {
    KIND_OF[kind].command_id: kind
    for kind in (
        message_pb2.IMMsgData,
        message_pb2.IMMsgDataReadNotify,
        login_pb2.IMKickUser,
        buddy_pb2.IMUserStatNotify,
        buddy_pb2.IMPCLoginStatusNotify,
        buddy_pb2.IMRemoveSessionNotify,
        buddy_pb2.IMAvatarChangedNotify,
        buddy_pb2.IMSignInfoChangedNotify,
        group_pb2.IMGroupChangeMemberNotify,
        file_pb2.IMFileNotify,
        switch_service_pb2.IMP2PCmdMsg,
    )
}
"""Command id → message, for everything that a msg_server sends unasked."""

_REFUSED: dict[int, str] = {
    base.REFUSE_REASON_NO_MSG_SERVER: "there is no msg_server",
    base.REFUSE_REASON_MSG_SERVER_FULL: "the msg_servers are full",
    base.REFUSE_REASON_NO_DB_SERVER: "msg_server has no connection to a db_proxy_server",
    base.REFUSE_REASON_NO_LOGIN_SERVER: "msg_server has no connection to a login_server",
    base.REFUSE_REASON_NO_ROUTE_SERVER: "msg_server has no connection to a route_server",
    base.REFUSE_REASON_DB_VALIDATE_FAILED: "wrong user name or password, or db_proxy_server cannot ask its database",
    base.REFUSE_REASON_VERSION_TOO_OLD: "the client's version is too old",
}

_KICKED: dict[int, str] = {
    base.KICK_REASON_DUPLICATE_USER: "the same user has logged in elsewhere",
    base.KICK_REASON_MOBILE_KICK: "the user's phone has asked for it",
}


class LoginRefusedError(DbproxyError):
    """The msg_server did not let the user in; ``result_code`` is one of ``ResultType`` in IM.BaseDefine.proto."""

    def __init__(self, result_code: int, result_string: str) -> None:
        meaning = _REFUSED.get(result_code, "unknown result")
        super().__init__(f"login refused: result {result_code}: {meaning}" + (f" ({result_string})" if result_string else ""))
        self.result_code = result_code
        self.result_string = result_string


class KickedError(DbproxyError):
    """The msg_server has logged this client out; ``reason`` is one of ``KickReasonType``."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"logged out by msg_server: reason {reason}: {_KICKED.get(reason, 'unknown')}")
        self.reason = reason


@dataclass(frozen=True)
class _Push:
    message: Message
    size: int


class ChatClient(ChatRequests):
    """One connection of one user to a msg_server. Not thread safe; several clients may be used in several threads.

    ``timeout`` in seconds is how long connecting, sending and waiting for an answer may take unless a call says otherwise. ``aes_key`` is
    the installation's, with which texts are encrypted; None sends and reads them as UTF-8. ``acknowledge``: tell the msg_server about each
    message that arrives, as clients do. Messages are sent no faster than the msg_server takes them; ``limit_rate=False`` lets a test do it.

    What comes unasked (messages, notifies) is read whenever a method waits, and kept for :meth:`next_push`: the newest ``MAX_PUSHES``, of
    at most ``MAX_PUSH_BYTES``; ``dropped_pushes`` counts what had to go. Once the server has logged this client out, ``kicked`` has the
    reason, the connection is closed, and everything but :meth:`next_push` for what is kept raises KickedError. The requests come from
    :class:`~dbproxy.testing.chat_requests.ChatRequests`. Heartbeats only go out while a method waits: a client whose
    methods are not called for two minutes is disconnected (see ``HEARTBEAT_INTERVAL``), and :meth:`idle` is for longer pauses.

    Raises:
        OSError: the msg_server cannot be reached.

    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = 10,
        aes_key: str | None = AES_KEY,
        acknowledge: bool = True,
        limit_rate: bool = True,
    ) -> None:
        self.timeout = timeout
        self.kicked: int | None = None
        self.dropped_pushes = 0
        self._aes_key = aes_key
        self._acknowledge = acknowledge
        self._limit_rate = limit_rate
        self._sent_at: deque[float] = deque(maxlen=MESSAGES_PER_SECOND)
        self._pushes: deque[_Push] = deque()
        self._push_bytes = 0
        self._numbers = itertools.cycle(range(1, 0x10000))
        self._last_sent = time.monotonic()
        self._stream = PduStream(host, port, timeout=timeout)

    def close(self) -> None:
        """Close the connection without logging out, as a client that loses its network; may be called twice."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # the session

    def login(
        self,
        name: str,
        password: str,
        *,
        client_type: base.ClientType = base.CLIENT_TYPE_WINDOWS,
        online_status: base.UserStatType = base.USER_STATUS_ONLINE,
        client_version: str = "dbproxy",
        hashed: bool = False,
    ) -> login_pb2.IMLoginRes:
        """Log in; the password travels as its md5, which ``hashed`` says ``password`` is already. Another client of this user and of the
        same kind (PC or phone) is logged out.

        LoginRefusedError when the server says no (it closes the connection then); other errors as :meth:`ask`.
        """
        digest = password if hashed else hashlib.md5(password.encode()).hexdigest()
        request = login_pb2.IMLoginReq(
            user_name=name, password=digest, online_status=online_status, client_type=client_type, client_version=client_version
        )
        answer = self.ask(request, login_pb2.IMLoginRes)
        if answer.result_code != base.REFUSE_REASON_NONE:
            raise LoginRefusedError(answer.result_code, answer.result_string)
        self.user_id = answer.user_info.user_id
        return answer

    def logout(self) -> login_pb2.IMLogoutRsp:
        """Log out; the server closes the connection. The device token for push notifications of this user is forgotten, too."""
        answer = self.ask(login_pb2.IMLogoutReq(), login_pb2.IMLogoutRsp)
        self.close()
        return answer

    def heartbeat(self) -> float:
        """Send a heartbeat and return the seconds until the server has sent it back."""
        began = time.monotonic()
        self.send(other_pb2.IMHeartBeat())
        while (pdu := self._receive(began + self.timeout, "the heartbeat")).command_id != base.CID_OTHER_HEARTBEAT:
            self._take(pdu)
            self._check_kicked()
        return time.monotonic() - began

    # messages

    def send_message(self, to_user_id: int, text: str, *, timeout: float | None = None) -> message_pb2.IMMsgDataAck:
        """Send a text to a user and return the server's acknowledgement, with the msg_id. The other user gets it as ``IMMsgData``.

        TimeoutError when it is not acknowledged: a msg_server stays silent when the message could not be stored, and about a message to
        oneself, an empty one and the 21st in a second.
        """
        return self._send_data(to_user_id, text, base.MSG_TYPE_SINGLE_TEXT, timeout)

    def send_group_message(self, group_id: int, text: str, *, timeout: float | None = None) -> message_pb2.IMMsgDataAck:
        """Send a text to a group that one is a member of; as :meth:`send_message`."""
        return self._send_data(group_id, text, base.MSG_TYPE_GROUP_TEXT, timeout)

    def _send_data(self, session_id: int, text: str, kind: base.MsgType, timeout: float | None) -> message_pb2.IMMsgDataAck:
        self._wait_for_turn()
        data = text.encode() if self._aes_key is None else encrypt_text(text, self._aes_key)
        request = message_pb2.IMMsgData(
            from_user_id=self.user_id, to_session_id=session_id, msg_id=0, create_time=int(time.time()), msg_type=kind, msg_data=data
        )
        return self.ask(request, message_pb2.IMMsgDataAck, timeout=timeout)

    def _wait_for_turn(self) -> None:
        if self._limit_rate:
            if len(self._sent_at) == MESSAGES_PER_SECOND:
                self.idle(self._sent_at[0] + RATE_WINDOW - time.monotonic())
            self._sent_at.append(time.monotonic())

    def text_of(self, message: message_pb2.IMMsgData | base.MsgInfo) -> str:
        """Return the text of a message, pushed or from a list. ValueError when it is encrypted with another key, or no text."""
        return message.msg_data.decode() if self._aes_key is None else decrypt_text(message.msg_data, self._aes_key)

    # what comes unasked

    @property
    def pushes(self) -> list[Message]:
        """What has come unasked and was not taken yet, oldest first. Nothing is read from the connection."""
        return [push.message for push in self._pushes]

    def next_push(self, kind: type[M], accept: Callable[[M], bool] | None = None, *, timeout: float | None = None) -> M:
        """Take the oldest push of this type for which ``accept`` is true, and wait for it if there is none.

        TimeoutError when none comes within ``timeout`` seconds; KickedError when the client is logged out before (``IMKickUser`` itself
        may be waited for); ConnectionClosedError when the connection ends.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            for index, push in enumerate(self._pushes):
                if isinstance(push.message, kind) and (accept is None or accept(push.message)):
                    del self._pushes[index]
                    self._push_bytes -= push.size
                    return push.message
            self._check_kicked()
            self._take(self._receive(deadline, kind.__name__))

    def idle(self, seconds: float) -> None:
        """Read what comes unasked for so long, and send heartbeats. Errors as :meth:`next_push`, TimeoutError excepted."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._check_kicked()
            try:
                self._take(self._receive(deadline, ""))
            except TimeoutError:
                return

    # PDUs

    def send(self, message: Message) -> int:
        """Send any message of the protocol and return its seq_num; errors as :meth:`ask`, TimeoutError only if the server does not read."""
        self._check_kicked()
        number = next(self._numbers)
        self._stream.send(message, number)
        self._last_sent = time.monotonic()
        return number

    def ask(self, message: Message, kind: type[M], *, timeout: float | None = None) -> M:
        """Send a request and return the answer that carries its seq_num.

        TimeoutError when none comes in time, ConnectionClosedError when the connection ends, KickedError when the client is logged out,
        ProtocolError when what comes cannot be read; ValueError for a request that this type does not answer.
        """
        request = KIND_OF[type(message)]
        if request.reply_id != KIND_OF[kind].command_id:
            raise ValueError(f"{kind.__name__} does not answer {type(message).__name__}")
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        number = self.send(message)
        while True:
            self._check_kicked()
            pdu = self._receive(deadline, f"the answer to {type(message).__name__}")
            if pdu.seq_num == number and pdu.command_id == request.reply_id:
                return _parse(kind, pdu.body)
            self._take(pdu)

    def _receive(self, deadline: float, wanted: str) -> ImPdu:
        """Return the next PDU; a heartbeat goes out when nothing else did for a while. TimeoutError says that ``wanted`` did not come."""
        while True:
            next_heartbeat = self._last_sent + HEARTBEAT_INTERVAL
            try:
                return self._stream.receive(min(deadline, next_heartbeat))
            except TimeoutError:
                if time.monotonic() < deadline:
                    self.send(other_pb2.IMHeartBeat())
                    continue
                raise TimeoutError(f"{wanted} did not come in time") from None

    def _check_kicked(self) -> None:
        if self.kicked is not None:
            raise KickedError(self.kicked)

    def _take(self, pdu: ImPdu) -> None:
        """Keep what comes unasked. Heartbeats, and answers to what nobody waits for any more, are dropped."""
        kind = _PUSHED.get(pdu.command_id)
        if kind is None:
            return
        message = _parse(kind, pdu.body)
        if isinstance(message, login_pb2.IMKickUser):
            # As clients do: a msg_server does not close the connection itself, and would kick it, and not the newer one, the next time.
            self.kicked = message.kick_reason
            self._stream.close()
        elif isinstance(message, message_pb2.IMMsgData) and self._acknowledge:
            self._acknowledge_arrival(message)
        self._pushes.append(_Push(message, len(pdu.body)))
        self._push_bytes += len(pdu.body)
        while len(self._pushes) > MAX_PUSHES or self._push_bytes > MAX_PUSH_BYTES:
            self._push_bytes -= self._pushes.popleft().size
            self.dropped_pushes += 1

    def _acknowledge_arrival(self, message: message_pb2.IMMsgData) -> None:
        in_group = message.msg_type in (base.MSG_TYPE_GROUP_TEXT, base.MSG_TYPE_GROUP_AUDIO)
        session_id, session_type = (message.to_session_id, GROUP) if in_group else (message.from_user_id, SINGLE)
        self.send(message_pb2.IMMsgDataAck(user_id=self.user_id, session_id=session_id, msg_id=message.msg_id, session_type=session_type))


def _parse(kind: type[M], body: bytes) -> M:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise ProtocolError(f"a {kind.__name__} of {len(body)} bytes cannot be read") from None
