"""A blocking client that talks to a proxy as a message server does: :class:`Client`."""

from __future__ import annotations

import itertools
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from dbproxy.testing.requests import Requests
from dbproxy.wire.commands import COMMANDS, HEARTBEAT_COMMAND_ID, Command
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import other_pb2, server_pb2
from dbproxy.wire.pdu import HEADER, HEADER_LENGTH, VERSION

if TYPE_CHECKING:
    from typing_extensions import Self

M = TypeVar("M", bound=Message)

BY_REQUEST: dict[type[Message], Command[Any, Any]] = {command.request: command for command in COMMANDS.values()}
"""Request message → its command."""

SENT_BY_PROXY: dict[tuple[int, int], type[Message]] = {
    **{(command.reply_service_id, command.reply_command_id): command.reply for command in COMMANDS.values() if command.reply},
    (base.SID_OTHER, base.CID_OTHER_HEARTBEAT): other_pb2.IMHeartBeat,
    (base.SID_OTHER, base.CID_OTHER_STOP_RECV_PACKET): server_pb2.IMStopReceivePacket,
}
"""(service id, command id) → message, for everything that a proxy sends."""


class ConnectionClosedError(ConnectionError):
    """The other side closed the connection."""


@dataclass(frozen=True)
class Pdu:
    """One PDU as it was received: all header fields and the body's bytes."""

    length: int
    version: int
    flag: int
    service_id: int
    command_id: int
    seq_num: int
    reserved: int
    body: bytes

    @property
    def is_heartbeat(self) -> bool:
        """Whether it is a heartbeat."""
        return self.command_id == HEARTBEAT_COMMAND_ID

    @property
    def is_stop_notice(self) -> bool:
        """Whether it announces that the proxy is shutting down (IMStopReceivePacket)."""
        return self.command_id == base.CID_OTHER_STOP_RECV_PACKET

    @property
    def message_type(self) -> type[Message] | None:
        """The protobuf class that belongs to service and command id; None for ids that no proxy sends."""
        return SENT_BY_PROXY.get((self.service_id, self.command_id))

    @property
    def message(self) -> Message:
        """The parsed body; ValueError for unknown ids, DecodeError for a body that does not parse."""
        kind = self.message_type
        if kind is None:
            raise ValueError(f"a proxy does not send command 0x{self.command_id:04x} of service {self.service_id}")
        return kind.FromString(self.body)


def pack(
    service_id: int, command_id: int, body: bytes, *, seq_num: int = 0, version: int = VERSION, flag: int = 0, reserved: int = 0
) -> bytes:
    """Return the bytes of a PDU with any header."""
    return HEADER.pack(HEADER_LENGTH + len(body), version, flag, service_id, command_id, seq_num, reserved) + body


class Client(Requests):
    """One connection to a proxy. Not thread safe; several clients may be used in several threads.

    ``timeout`` in seconds is how long connecting, sending and waiting for a reply may take unless a call says otherwise. Heartbeats
    that arrive are counted in ``heartbeats``, stop notices kept in ``stop_notices``; :meth:`receive` returns neither, unless
    ``notices=True`` asks for it. A small ``receive_buffer`` (bytes) makes a peer that reads slowly; ``source`` is the local address
    to bind to. The methods for single commands come from :class:`~dbproxy.testing.requests.Requests`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = 10,
        notices: bool = False,
        receive_buffer: int | None = None,
        source: str | None = None,
    ) -> None:
        self.timeout = timeout
        self.heartbeats = 0
        self.stop_notices: list[Pdu] = []
        self.notices = notices
        self._buffer = bytearray()
        self._replies: deque[Pdu] = deque()
        self._numbers = itertools.cycle(range(1, 0x10000))
        self._socket = socket.socket()
        try:
            self._socket.settimeout(timeout)
            if receive_buffer is not None:
                # before connecting, so that the window is small from the start
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source is not None:
                self._socket.bind((source, 0))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.connect((host, port))
        except BaseException:
            self._socket.close()
            raise

    @property
    def socket(self) -> socket.socket:
        """The connected socket, for what this class cannot do."""
        return self._socket

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, message: Message, *, seq_num: int | None = None) -> int:
        """Send a request and return its seq_num (the next number when none is given). Missing required fields are sent missing.

        KeyError for a message that is no request; ConnectionClosedError when the proxy is gone; TimeoutError when it does not read.
        """
        command = BY_REQUEST[type(message)]
        number = next(self._numbers) if seq_num is None else seq_num
        body = message.SerializePartialToString()
        self.send_raw(pack(command.service_id, command.command_id, body, seq_num=number))
        return number

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; errors as :meth:`send`."""
        self._socket.settimeout(self.timeout)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionClosedError(f"the proxy is gone: {error}") from error

    def send_heartbeat(self) -> None:
        """Send a heartbeat, as message servers do; it is not answered."""
        self.send_raw(pack(base.SID_OTHER, HEARTBEAT_COMMAND_ID, b""))

    def receive(self, timeout: float | None = None) -> Pdu:
        """Return the next PDU. TimeoutError when none came in time, ConnectionClosedError when the proxy closed the connection."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        if self._replies:
            return self._replies.popleft()
        while True:
            pdu = self._next_pdu()
            if pdu is not None:
                if not self._is_notice(pdu) or self.notices:
                    return pdu
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no PDU came in time")
            self._read(left)

    def receive_many(self, count: int, timeout: float | None = None) -> list[Pdu]:
        """Return the next ``count`` PDUs; ``timeout`` in seconds is for all of them together. Errors as :meth:`receive`."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        return [self.receive(max(deadline - time.monotonic(), 0.001)) for _ in range(count)]

    def request(self, message: Message, *, seq_num: int | None = None, timeout: float | None = None) -> Message:
        """Send a request and return the parsed reply that carries its seq_num. Replies to earlier requests stay for :meth:`receive`.

        ValueError for a command that is not answered; other errors as :meth:`send` and :meth:`receive`.
        """
        command = BY_REQUEST[type(message)]
        if command.reply is None:
            raise ValueError(f"{command.name} is not answered: use send()")
        number = self.send(message, seq_num=seq_num)
        earlier = list(self._replies)
        self._replies.clear()
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                pdu = self.receive(max(deadline - time.monotonic(), 0.001))
                if pdu.seq_num == number and (pdu.service_id, pdu.command_id) == (command.reply_service_id, command.reply_command_id):
                    return pdu.message
                earlier.append(pdu)
        finally:
            self._replies.extend(earlier)

    def ask(self, message: Message, kind: type[M]) -> M:
        """Return the reply to ``message`` as the type that it must have; TypeError when it is another one. Errors as :meth:`request`."""
        reply = self.request(message)
        if not isinstance(reply, kind):
            raise TypeError(f"{type(reply).__name__} instead of {kind.__name__}")
        return reply

    def requests(self, messages: Sequence[Message], timeout: float | None = None) -> list[Message]:
        """Send all requests at once and return their replies in the order of the requests, whatever order they came in."""
        numbers = [next(self._numbers) for _ in messages]
        parts = []
        for number, message in zip(numbers, messages, strict=True):
            command = BY_REQUEST[type(message)]
            parts.append(pack(command.service_id, command.command_id, message.SerializePartialToString(), seq_num=number))
        self.send_raw(b"".join(parts))
        replies = {pdu.seq_num: pdu for pdu in self.receive_many(len(messages), timeout)}
        return [replies[number].message for number in numbers]

    def silent(self, seconds: float) -> bool:
        """Return whether no PDU (except notices) comes within ``seconds``; ConnectionClosedError when the connection is closed."""
        try:
            pdu = self.receive(seconds)
        except TimeoutError:
            return True
        self._replies.appendleft(pdu)
        return False

    def closed_within(self, seconds: float) -> bool:
        """Return whether the proxy closes the connection within ``seconds``; PDUs that come before that are dropped."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.receive(max(deadline - time.monotonic(), 0))
        except ConnectionClosedError:
            return True
        except TimeoutError:
            return False

    def _is_notice(self, pdu: Pdu) -> bool:
        if pdu.is_heartbeat:
            self.heartbeats += 1
        elif pdu.is_stop_notice:
            self.stop_notices.append(pdu)
        else:
            return False
        return True

    def _next_pdu(self) -> Pdu | None:
        if len(self._buffer) < HEADER_LENGTH:
            return None
        length, version, flag, service_id, command_id, seq_num, reserved = HEADER.unpack_from(self._buffer)
        if length < HEADER_LENGTH:
            raise ValueError(f"the proxy sent a PDU of length {length}")
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[HEADER_LENGTH:length])
        del self._buffer[:length]
        return Pdu(length, version, flag, service_id, command_id, seq_num, reserved, body)

    def _read(self, timeout: float) -> None:
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            raise TimeoutError("no PDU came in time") from None
        except OSError as error:
            raise ConnectionClosedError(f"the connection broke: {error}") from error
        if not data:
            raise ConnectionClosedError("the proxy closed the connection")
        self._buffer += data
