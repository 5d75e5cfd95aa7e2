"""A connection to any TeamTalk server that carries PDUs of any kind: :class:`PduStream`."""

from __future__ import annotations

import socket
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from dbproxy.errors import DbproxyError
from dbproxy.testing.client import ConnectionClosedError
from dbproxy.wire.pdu import Framer, ImPdu, pack_pdu
from dbproxy.wire.pdu_kinds import PDU_KINDS, PduKind

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_PDU_LENGTH = 64 << 20
"""Bytes of the longest PDU that is taken. The longest replies of a message server carry a few MiB."""

_READ_SIZE = 1 << 18

KIND_OF: dict[type[Message], PduKind] = {kind.message: kind for kind in PDU_KINDS.values()}
"""Message → its kind of PDU, for every message of the protocol."""


class ProtocolError(DbproxyError):
    """What the server sends is not TeamTalk's protocol."""


class PduStream:
    """One TCP connection. Not thread safe. ``timeout`` in seconds is for connecting and for each :meth:`send`.

    Raises:
        OSError: the server cannot be reached; TimeoutError when it does not answer in time.

    """

    def __init__(self, host: str, port: int, *, timeout: float = 10) -> None:
        self.timeout = timeout
        self._framer = Framer(MAX_PDU_LENGTH)
        self._complete: deque[ImPdu] = deque()
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, message: Message, seq_num: int = 0) -> None:
        """Send a message with the ids of its kind. Missing required fields are sent missing.

        KeyError for what is no PDU of the protocol; ConnectionClosedError when the server is gone, TimeoutError when it does not read.
        """
        kind = KIND_OF[type(message)]
        self._socket.settimeout(self.timeout)
        try:
            self._socket.sendall(pack_pdu(kind.service_id, kind.command_id, seq_num, message.SerializePartialToString()))
        except TimeoutError:
            raise TimeoutError("the server does not read what is sent") from None
        except OSError as error:
            raise ConnectionClosedError(f"the connection is gone: {error.strerror or error}") from error

    def receive(self, deadline: float) -> ImPdu:
        """Return the next PDU. ``deadline`` is a time of ``time.monotonic()``.

        TimeoutError when none comes in time, ConnectionClosedError when the server closes the connection, ProtocolError when what it
        sends cannot be cut into PDUs.
        """
        while not self._complete:
            if self._framer.error is not None:
                raise ProtocolError(f"what the server sends is not TeamTalk's protocol: {self._framer.error}")
            self._complete.extend(self._framer.feed(self._read(deadline - time.monotonic())))
        return self._complete.popleft()

    def _read(self, seconds: float) -> bytes:
        # What has arrived is taken even when the time is over: 0 would make the socket non-blocking, which a wait of 1 ms nearly is.
        self._socket.settimeout(max(seconds, 0.001))
        try:
            data = self._socket.recv(_READ_SIZE)
        except TimeoutError:
            raise TimeoutError("nothing came in time") from None
        except OSError as error:
            raise ConnectionClosedError(f"the connection broke: {error.strerror or error}") from error
        if not data:
            raise ConnectionClosedError("the server closed the connection")
        return data
