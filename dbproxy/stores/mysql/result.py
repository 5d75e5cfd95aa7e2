"""Packets of MySQL: results, with rows as bytes, and long statements. A reader and its results belong to one thread at a time.

PyMySQL reads each packet with two calls, makes an object of it, describes every column and asks for every field which encoding and which
converter it has. Only the bytes are needed here, so descriptions are skipped and rows are cut out of the receive buffer: reading a row
costs a fifth, which matters because long lists are mostly rows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from pymysql.constants import COMMAND, CR, SERVER_STATUS
from pymysql.err import OperationalError, raise_mysql_exception

from dbproxy.stores.backend_calls import LARGE_RESULT
from dbproxy.stores.mysql.errors import NotExecutedError

Row = tuple[Any, ...]
"""A row as the server sent it: bytes, or None for NULL. Numbers are left to ``int``, text to ``decode``."""

_OK, _NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES, _EOF, _ERROR = 0x00, 0xFB, 0xFC, 0xFD, 0xFE, 0xFE, 0xFF
_SIZES = {_TWO_BYTES: 2, _THREE_BYTES: 3, _EIGHT_BYTES: 8}
_LONGEST_EOF = 9
_HEADER = 4
_FIRST_NUMBER = re.compile(rb"\d+")
MAX_PACKET = 0xFFFFFF
"""Bytes of the payload of a packet at most; what is longer takes several."""

_QUERY_START = struct.Struct("<iB")
"""The header of the first packet of a statement (length in three bytes, number 0) and its command."""

_PACKET_START = struct.Struct("<I")
_ROW_START = struct.Struct("<IB")
"""A packet's length (three bytes) and its number (the fourth), and what a row begins with."""


class PacketReader:
    """What has arrived on a connection and is not read yet: ``data`` from ``position`` on. ``receive`` waits for more."""

    __slots__ = ("_receive", "data", "position", "sequence")

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.data = b""
        self.position = 0
        self.sequence = 0
        """Number of the next packet."""

    def clear(self) -> None:
        """Drop what has arrived, for a new connection."""
        self.data = b""
        self.position = 0

    def need(self, count: int) -> None:
        """Wait until there are ``count`` bytes from ``position`` on; ``position`` may change."""
        parts = [self.data[self.position :]]
        missing = count - len(parts[0])
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        self.data = b"".join(parts)
        self.position = 0

    def packet(self) -> bytes:
        """Return the next packet, of whatever length.

        Raises:
            pymysql.err.OperationalError: a packet is missing, or the connection is lost.
            NotExecutedError: the server ended the connection before it read what this packet should be the answer to.

        """
        part = self._part()
        if len(part) < MAX_PACKET:
            return part
        parts = [part]
        while len(part) == MAX_PACKET:
            part = self._part()
            parts.append(part)
        return b"".join(parts)

    def _part(self) -> bytes:
        """Return the next packet as the protocol understands it: up to 16 MB."""
        start = self.position + _HEADER
        if len(self.data) < start:
            self.need(_HEADER)
            start = _HEADER
        header: int = _PACKET_START.unpack_from(self.data, self.position)[0]
        if header >> 24 != self.sequence:
            if self.sequence == 1 and not header >> 24:  # not numbered as a reply: the error by which a server ends an idle connection
                raise NotExecutedError(CR.CR_SERVER_LOST, "the server had ended the connection")
            raise OperationalError(CR.CR_SERVER_LOST, "packets out of order")
        length = header & MAX_PACKET
        if len(self.data) < start + length:
            self.need(_HEADER + length)
            start = _HEADER
        self.sequence = (self.sequence + 1) & 0xFF
        self.position = start + length
        return self.data[start : start + length]


class QueryResult:
    """The result of one statement: ``rows`` (empty for a statement that is no query), and what the server says about it."""

    __slots__ = ("affected_rows", "has_next", "insert_id", "message", "rows", "server_status")

    def __init__(self, source: PacketReader, on_large: Callable[[], None] = lambda: None) -> None:
        """Read it. ``on_large`` is called for each part that arrives after the first LARGE_RESULT bytes.

        Raises:
            pymysql.err.Error: what the server says instead, or the connection is lost.

        """
        self.affected_rows = 0
        self.insert_id = 0
        self.server_status = 0
        self.message = b""
        self.rows: list[Row] = []
        self.has_next = False
        packet = source.packet()
        if packet[0] == _ERROR:
            raise_mysql_exception(packet)
        elif packet[0] == _OK:
            self._read_ok(packet)
        else:  # LOCAL INFILE cannot occur: the login does not offer it
            for _ in range(_number(packet, 0)[0] + 1):  # the descriptions of the columns, and the end of them
                source.packet()
            self._read_rows(source, on_large)

    @property
    def matched_rows(self) -> int:
        """How many rows an UPDATE has found, whether it changed them or not: the first number of the server's message ("Rows matched: 2
        Changed: 1 ..." in whatever language).
        """
        found = _FIRST_NUMBER.search(self.message)
        return int(found[0]) if found else 0

    def _read_ok(self, packet: bytes) -> None:
        self.affected_rows, position = _number(packet, 1)
        self.insert_id, position = _number(packet, position)
        self.server_status = int.from_bytes(packet[position : position + 2], "little")
        self.has_next = bool(self.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)
        if position + 4 < len(packet):
            self.message = packet[_number(packet, position + 4)[1] :]

    def _read_rows(self, source: PacketReader, on_large: Callable[[], None]) -> None:
        rows: list[Row] = []
        arrived = 0
        while True:
            _cut_rows(source, rows)
            arrived += len(source.data)
            if arrived > LARGE_RESULT:
                on_large()
            packet = source.packet()
            if packet[0] == _ERROR:
                raise_mysql_exception(packet)
            if packet[0] == _EOF and len(packet) < _LONGEST_EOF:
                break
            rows.append(_fields(packet, 0, len(packet)))
        self.server_status = int.from_bytes(packet[3:5], "little")
        self.has_next = bool(self.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS)
        self.affected_rows = len(rows)
        self.rows = rows


def _cut_rows(source: PacketReader, rows: list[Row]) -> None:
    """Append the rows that have arrived, cut out of the input where they lie. It stops at whatever is something else: the end of the rows
    or of the input, an error, a row of 16 MB, a packet out of order.
    """
    data, position, sequence = source.data, source.position, source.sequence << 24
    size, append = len(data), rows.append
    last = size - _ROW_START.size
    while position <= last:
        header, first = _ROW_START.unpack_from(data, position)
        length = header - sequence
        start = position + _HEADER
        end = start + length
        if not 0 < length < MAX_PACKET or end > size or first >= _EOF:
            break
        sequence = (sequence + 0x1000000) & 0xFF000000
        position = end
        if length == first + 1 and first < _NULL:
            append((data[start + 1 : end],))
        else:
            append(_fields(data, start, end))
    source.position, source.sequence = position, sequence >> 24


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Read a length-coded number; returns it and the position behind it."""
    value = data[position]
    if value < _NULL:
        return value, position + 1
    size = _SIZES[value]
    return int.from_bytes(data[position + 1 : position + 1 + size], "little"), position + 1 + size


def _fields(data: bytes, position: int, end: int) -> tuple[bytes | None, ...]:
    """Cut a row into its length-coded fields."""
    fields: list[bytes | None] = []
    while position < end:
        length = data[position]
        position += 1
        if length >= _NULL:
            if length == _NULL:
                fields.append(None)
                continue
            length, position = _number(data, position - 1)
        fields.append(data[position : position + length])
        position += length
    return tuple(fields)


def statement_packets(statement: bytes) -> bytes:
    """Return the packets that carry a statement. If one does not hold it, the last one is not full, and may be empty."""
    if len(statement) + 1 < MAX_PACKET:
        return _QUERY_START.pack(len(statement) + 1, COMMAND.COM_QUERY) + statement
    payload = bytes([COMMAND.COM_QUERY]) + statement
    packets = []
    for number, start in enumerate(range(0, len(payload) + 1, MAX_PACKET)):
        part = payload[start : start + MAX_PACKET]
        packets += [len(part).to_bytes(3, "little"), bytes([number & 0xFF]), part]
    return b"".join(packets)
