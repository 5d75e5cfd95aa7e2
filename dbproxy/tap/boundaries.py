"""Boundaries: where PDUs begin in a stream that is forwarded, so that what is left out when showing is too slow are whole PDUs."""

from __future__ import annotations

from dbproxy.wire.pdu import HEADER_LENGTH

_LENGTH_BYTES = 4


class Boundaries:
    """Follows one direction of a connection. It looks at the length of each PDU and at nothing else; it holds at most 3 bytes. A stream
    that is no sequence of PDUs (``broken``) has no boundaries any more.
    """

    __slots__ = ("_head", "_remaining", "broken", "pdus")

    def __init__(self) -> None:
        self._head = b""  # of the length of the next PDU, what has arrived
        self._remaining = 0  # bytes of the current PDU that have not arrived
        self.pdus = 0
        """PDUs that have begun."""
        self.broken = False

    def feed(self, data: bytes) -> int | None:
        """Take bytes and return the first offset in them at which a PDU begins, ``len(data)`` if the next one begins with what comes next;
        None if there is none.
        """
        if self.broken:
            return None
        if not self._head and self._remaining == len(data):  # most often: the rest of one PDU
            self._remaining = 0
            return len(data)
        first = None
        position, end = 0, len(data)
        while True:
            if self._remaining:
                step = min(self._remaining, end - position)
                self._remaining -= step
                position += step
                if self._remaining:
                    return first
            if first is None and not self._head:
                first = position
            lacking = _LENGTH_BYTES - len(self._head)
            if end - position < lacking:
                self._head += data[position:]
                return first
            length = int.from_bytes(self._head + data[position : position + lacking], "big")
            if length < HEADER_LENGTH:
                self.broken = True
                return first
            self.pdus += 1
            self._remaining = length - len(self._head)
            self._head = b""
