"""Conversations: makes PDUs of the records of a tap, and finds out which PDU answers which. No I/O; one thread."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from dbproxy.tap.records import Event, Record
from dbproxy.wire.pb import base_define_pb2
from dbproxy.wire.pdu import Framer, ImPdu
from dbproxy.wire.pdu_kinds import PduKind, find_kind

MAX_PDU = 64 * 1024 * 1024
"""Bytes of a PDU; a stream with a longer one is taken for something else than TeamTalk's protocol."""

MAX_OPEN_REQUESTS = 10_000
"""Kinds and seq_nums of a connection whose requests wait for their answers; of more the oldest are forgotten."""

MAX_ALIKE = 64
"""Requests of one kind with one seq_num that wait; of more the oldest are forgotten."""

Side = Literal["client", "server"]

_OTHER_SIDE: dict[Side, Side] = {"client": "server", "server": "client"}
_SIDES: dict[Event, Side] = {
    Event.FROM_CLIENT: "client",
    Event.LOST_OF_CLIENT: "client",
    Event.ENDED_BY_CLIENT: "client",
    Event.FROM_SERVER: "server",
    Event.LOST_OF_SERVER: "server",
    Event.ENDED_BY_SERVER: "server",
}


@dataclass(frozen=True, slots=True)
class TappedPdu:
    """One PDU that has passed. ``time``: unix time at which its last byte arrived; ``sender``: who sent it."""

    time: float
    connection: int
    sender: Side
    pdu: ImPdu
    kind: PduKind | None
    """None: the protocol has no such command id."""
    number: int
    """PDUs are counted from 1."""
    answers: int | None = None
    """The number of the request that this answers; None: it answers none that was seen."""
    latency: float | None = None
    """Seconds since that request."""

    @property
    def name(self) -> str:
        """The command's name in the protocol, or its id."""
        return self.kind.name if self.kind is not None else f"0x{self.pdu.command_id:04x}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something else that has happened on a connection."""

    time: float
    connection: int
    text: str


class Conversations:
    """Takes records in their order and yields what has passed."""

    def __init__(self) -> None:
        self._connections: dict[int, _Connection] = {}
        self._numbers = count(1)

    def take(self, record: Record) -> Iterator[TappedPdu | Notice]:
        """Yield what a record completes: any number of PDUs, or a notice."""
        number = record.connection
        if record.event is Event.OPENED:
            self._connections[number] = _Connection(self._numbers)
            yield Notice(record.time, number, f"opened by {record.data.decode()}")
            return
        connection = self._connections.get(number)
        if connection is None:
            return
        if record.event is Event.NO_SERVER:
            del self._connections[number]
            yield Notice(record.time, number, f"closed: the server cannot be reached: {record.data.decode()}")
            return
        side = _SIDES[record.event]
        if record.event in (Event.FROM_CLIENT, Event.FROM_SERVER):
            yield from connection.feed(record, side)
        elif record.event in (Event.LOST_OF_CLIENT, Event.LOST_OF_SERVER):
            connection.skip(side)
            yield Notice(record.time, number, f"{record.data.decode()} PDUs of the {side} are not shown, because showing was too slow")
        else:
            connection.ended.add(side)
            if record.data or len(connection.ended) == len(_OTHER_SIDE):
                del self._connections[number]
            why = f": {record.data.decode()}" if record.data else ""
            rest = connection.framers[side].pending
            cut = f", in the middle of a PDU of which {rest} bytes came" if rest else ""
            yield Notice(record.time, number, f"closed by the {side}{cut}{why}")


class _Connection:
    """Both directions of one connection."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self.framers: dict[Side, Framer] = {"client": Framer(MAX_PDU), "server": Framer(MAX_PDU)}
        self.ended: set[Side] = set()
        self._told: set[Side] = set()
        self._requests: dict[Side, OrderedDict[tuple[int, int], deque[_Waiting]]] = {"client": OrderedDict(), "server": OrderedDict()}

    def skip(self, side: Side) -> None:
        """Begin with a whole PDU again."""
        self.framers[side] = Framer(MAX_PDU)
        for requests in self._requests.values():
            requests.clear()  # their answers may be among what is not shown

    def feed(self, record: Record, side: Side) -> Iterator[TappedPdu | Notice]:
        framer = self.framers[side]
        for pdu in framer.feed(record.data):
            kind, number = find_kind(pdu.command_id), next(self._numbers)
            request = self._request_of(side, pdu)
            tapped = TappedPdu(record.time, record.connection, side, pdu, kind, number)
            if request is not None:
                tapped = replace(tapped, answers=request.number, latency=record.time - request.time)
            elif kind is not None and _asks(pdu, kind, side):
                self._await_answer(side, pdu, kind, number, record.time)
            yield tapped
        if framer.error is not None and side not in self._told:
            self._told.add(side)
            text = f"what the {side} sends is not TeamTalk's protocol: {framer.error}; it is forwarded, but not shown any more"
            yield Notice(record.time, record.connection, text)

    def _request_of(self, side: Side, pdu: ImPdu) -> _Waiting | None:
        """The request that ``pdu`` answers, which is not waited for any more. A message server passes the seq_nums of its clients on, so
        several requests may have the same: among them it is the oldest that begins with the same field (the user), or else the oldest.
        """
        requests = self._requests[_OTHER_SIDE[side]]
        key = (_REPLY_KEYS.get(pdu.command_id, pdu.command_id), pdu.seq_num)
        waiting = requests.get(key)
        if not waiting:
            return None
        first = first_field(pdu.body)
        found = next((request for request in waiting if request.first_field == first), waiting[0])
        waiting.remove(found)
        if not waiting:
            del requests[key]
        return found

    def _await_answer(self, side: Side, pdu: ImPdu, kind: PduKind, number: int, time: float) -> None:
        requests = self._requests[side]
        key = (_REPLY_KEYS.get(kind.reply_id, kind.reply_id), pdu.seq_num)
        requests.setdefault(key, deque(maxlen=MAX_ALIKE)).append(_Waiting(number, time, first_field(pdu.body)))
        if len(requests) > MAX_OPEN_REQUESTS:
            requests.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that waits for its answer."""

    number: int
    time: float
    first_field: bytes


_REPLY_KEYS: dict[int, int] = {base_define_pb2.CID_MSG_DATA_ACK: base_define_pb2.CID_MSG_DATA}
"""A proxy sends a message back, a message server acknowledges it: either answers."""


def first_field(body: bytes) -> bytes:
    """Return the encoding of a body's first field if it is the field 1 and a short one: in requests and answers of most commands it is
    the user.
    """
    if body[:1] == b"\x08":  # a varint
        end = next((index for index in range(1, min(len(body), 11)) if body[index] < 0x80), 0)
        return body[: end + 1]
    if body[:1] == b"\x0a" and len(body) > 1 and body[1] < 0x80:  # a short text
        return body[: 2 + body[1]]
    return b""


def _asks(pdu: ImPdu, kind: PduKind, side: Side) -> bool:
    """Whether a PDU is a request. What a server sends as a message is the copy that acknowledges it, or a message for the client."""
    return bool(kind.reply_id) and not (side == "server" and pdu.command_id == base_define_pb2.CID_MSG_DATA)
