"""Replay: sends what the clients of a saved session sent to another server, in the recorded order, and compares the answers. One thread.

A request is sent when its turn comes; where the recording has an answer, the answer of this server is waited for. So requests that were on
their way at the same time then are so now.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from dbproxy.tap.pdus import MAX_PDU, TappedPdu, first_field
from dbproxy.wire.compare import Difference, differences
from dbproxy.wire.pb import base_define_pb2
from dbproxy.wire.pdu import Framer, ImPdu, pack_pdu

READ_SIZE = 256 * 1024
MAX_UNEXPECTED = 10_000
"""PDUs of a connection that no recorded one has asked for yet; if there are more, all are forgotten."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request that was answered in the recording."""

    request: TappedPdu
    differences: tuple[Difference, ...] = ()
    problem: str = ""
    """Why there is nothing to compare."""

    @property
    def agrees(self) -> bool:
        """Whether the server has given the same answer."""
        return not self.differences and not self.problem


class Replay:
    """Replays a session on a server."""

    def __init__(self, server: tuple[str, int], timeout: float, ignored: Collection[str] = (), *, contents: bool = False) -> None:
        """``timeout``: seconds for connecting, and for each answer. ``ignored``: names of fields that may differ. ``contents``: whether
        differences show texts.
        """
        self._server = server
        self._timeout = timeout
        self._ignored = ignored
        self._contents = contents
        self._connections: dict[int, _Connection] = {}
        self.sent = 0
        """PDUs sent."""

    def run(self, session: Iterable[TappedPdu]) -> Iterator[Outcome]:
        """Yield the outcome of each request that is answered in the recording.

        Raises:
            OSError: the server cannot be reached.

        """
        requests: dict[int, TappedPdu] = {}
        try:
            for item in session:
                if item.sender == "client":
                    if item.pdu.command_id == base_define_pb2.CID_OTHER_HEARTBEAT:
                        continue
                    connection = self._connections.get(item.connection)
                    if connection is None:
                        sock = socket.create_connection(self._server, self._timeout)
                        connection = self._connections[item.connection] = _Connection(sock)
                    connection.send(item.pdu)
                    self.sent += 1
                    if item.kind is not None and item.kind.reply_id:
                        requests[item.number] = item
                        if len(requests) > MAX_UNEXPECTED:
                            del requests[next(iter(requests))]
                elif item.answers is not None and (request := requests.pop(item.answers, None)) is not None:
                    yield self._compare(request, item)
        finally:
            for connection in self._connections.values():
                connection.close()

    def _compare(self, request: TappedPdu, recorded: TappedPdu) -> Outcome:
        found = self._connections[request.connection].answer(recorded.pdu, time.monotonic() + self._timeout)
        if isinstance(found, str):
            return Outcome(request, problem=found)
        if recorded.kind is None or found.body == recorded.pdu.body:
            return Outcome(request)
        kind = recorded.kind.message
        return Outcome(request, tuple(differences(kind, recorded.pdu.body, found.body, self._ignored, contents=self._contents)))


class _Connection:
    """One connection of the recording, to the server that is compared."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._framer = Framer(MAX_PDU)
        self._arrived: dict[tuple[int, int], list[ImPdu]] = {}
        self._count = 0
        self._problem = ""

    def send(self, pdu: ImPdu) -> None:
        if not self._problem:
            try:
                self._socket.sendall(pack_pdu(pdu.service_id, pdu.command_id, pdu.seq_num, pdu.body))
            except OSError as error:
                self._problem = f"the connection is lost: {error.strerror or error}"

    def answer(self, recorded: ImPdu, deadline: float) -> ImPdu | str:
        """The PDU with the same command id and seq_num; a text says why there is none."""
        key = (recorded.command_id, recorded.seq_num)
        while not self._arrived.get(key):
            if self._problem:
                return self._problem
            if not self._receive(deadline):
                return "no answer in time"
        self._count -= 1
        first = first_field(recorded.body)
        arrived = self._arrived[key]
        found = arrived.pop(next((index for index, pdu in enumerate(arrived) if first_field(pdu.body) == first), 0))
        if not self._arrived[key]:
            del self._arrived[key]
        return found

    def _receive(self, deadline: float) -> bool:
        """Read once; False when nothing came in time."""
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(READ_SIZE)
        except TimeoutError:
            return False
        except OSError as error:
            self._problem = f"the connection is lost: {error.strerror or error}"
            return True
        if not data:
            self._problem = "the server has closed the connection"
        for pdu in self._framer.feed(data):
            self._arrived.setdefault((pdu.command_id, pdu.seq_num), []).append(pdu)
            self._count += 1
        if self._count > MAX_UNEXPECTED:
            self._arrived.clear()
            self._count = 0
        return True

    def close(self) -> None:
        self._socket.close()
