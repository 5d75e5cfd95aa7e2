"""What the forwarding process tells the showing one, over a stream of bytes between them. No I/O; any thread."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

_HEAD = struct.Struct(">dIBI")
"""Unix time, connection, event, bytes of data."""


class Event(IntEnum):
    """What has happened on a connection. ``data`` is what is said in brackets, else empty."""

    OPENED = 1
    """A client has connected (its address)."""
    FROM_CLIENT = 2
    """Bytes came from the client (the bytes)."""
    FROM_SERVER = 3
    """Bytes came from the server (the bytes)."""
    LOST_OF_CLIENT = 4
    """PDUs of the client were forwarded but are not shown, because showing was too slow (about how many). What has been told of an
    unfinished PDU belongs to them; next begins a whole one."""
    LOST_OF_SERVER = 5
    """The same of the server."""
    ENDED_BY_CLIENT = 6
    """The client has closed its direction, or the connection is lost (why, if there is an error)."""
    ENDED_BY_SERVER = 7
    """The same of the server."""
    NO_SERVER = 8
    """The server could not be reached (why)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event; ``time`` is unix time in seconds, connections count from 1."""

    time: float
    connection: int
    event: Event
    data: bytes


def pack(time: float, connection: int, event: Event, data: bytes) -> bytes:
    """Return a record as bytes."""
    return _HEAD.pack(time, connection, event, len(data)) + data


class Unpacker:
    """Cuts the stream into records. It holds at most one that is incomplete and what was fed last."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Record]:
        """Take bytes and yield the records that are complete now."""
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= _HEAD.size:
            time, connection, event, length = _HEAD.unpack_from(buffer, position)
            end = position + _HEAD.size + length
            if len(buffer) < end:
                break
            yield Record(time, connection, Event(event), bytes(buffer[position + _HEAD.size : end]))
            position = end
        del buffer[:position]
