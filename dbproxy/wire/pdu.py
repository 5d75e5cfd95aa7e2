"""The PDU: a 16-byte big-endian header and a protobuf body, and the framer that cuts a byte stream into PDUs.

No I/O happens here. The functions may be called from any thread; a framer belongs to one connection and so to the reactor thread.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER = struct.Struct(">IHHHHHH")
"""length (header included), version, flag, service_id, command_id, seq_num, reserved."""

HEADER_LENGTH = HEADER.size
VERSION = 1
"""The version of every PDU that the proxy sends; it is not checked in what the proxy receives."""


class ImPdu(NamedTuple):
    """One PDU as it came from a peer: the header fields that matter and the body, not parsed."""

    service_id: int
    command_id: int
    seq_num: int
    body: bytes


def pack_header(service_id: int, command_id: int, seq_num: int, body_length: int) -> bytes:
    """Return the header of a PDU that the proxy sends (version 1, flag 0, reserved 0)."""
    return HEADER.pack(HEADER_LENGTH + body_length, VERSION, 0, service_id, command_id, seq_num, 0)


def pack_pdu(service_id: int, command_id: int, seq_num: int, body: bytes) -> bytes:
    """Return the bytes of a PDU that the proxy sends (version 1, flag 0, reserved 0)."""
    return pack_header(service_id, command_id, seq_num, len(body)) + body


class Framer:
    """Cuts what arrives on one connection into PDUs: feed it bytes, get the PDUs that are complete.

    A length below 16 or above ``max_length`` bytes breaks the stream for good: the PDUs before it are still returned, then ``error``
    says what was wrong, and whatever follows is ignored. It never holds more than ``max_length`` bytes and one read. ``max_length`` may be
    changed at any time; a PDU that has begun to arrive then is still returned.
    """

    __slots__ = ("_buffer", "_needed", "error", "max_length")

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self._buffer = bytearray()
        self._needed = HEADER_LENGTH
        self.error: str | None = None

    @property
    def pending(self) -> int:
        """Bytes of a PDU that has not arrived as a whole."""
        return len(self._buffer)

    @property
    def unfinished(self) -> bytes:
        """What has arrived of that PDU."""
        return bytes(self._buffer)

    def clear(self) -> None:
        """Let go of the unfinished PDU; nothing may be fed any more."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[ImPdu]:
        """Take what was read and return the PDUs that are now complete, in order."""
        if self.error is not None:
            return []
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._needed:
                return []
            data = bytes(buffer)
            buffer.clear()
        pdus: list[ImPdu] = []
        position, end = 0, len(data)
        while end - position >= HEADER_LENGTH:
            length, _, _, service_id, command_id, seq_num, _ = HEADER.unpack_from(data, position)
            if not HEADER_LENGTH <= length <= self.max_length and (position or length != self._needed):
                self.error = f"PDU length {length} is not between {HEADER_LENGTH} and {self.max_length}"
                return pdus
            if end - position < length:
                self._needed = length
                break
            pdus.append(ImPdu(service_id, command_id, seq_num, data[position + HEADER_LENGTH : position + length]))
            position += length
        else:
            self._needed = HEADER_LENGTH
        if position < end:
            buffer += data[position:] if position else data
        return pdus
