"""Reading the rows of a MySQL result as bytes. A connection belongs to one thread at a time, and so does its result.

PyMySQL makes an object of every packet, describes every column and asks for every field which encoding and which converter it has. We
want bytes and nothing else, so the descriptions are skipped and the rows are cut directly: reading a row costs about a third, which
matters because long lists are mostly rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymysql.connections import MySQLResult

if TYPE_CHECKING:
    from dbproxy.stores.mysql import DBConn

MORE_RESULTS = 0x0008
"""Status flag of the server: another result of the same script follows."""

_EOF, _NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFE, 0xFB, 0xFC, 0xFD, 0xFE
_LONGEST_EOF = 9


class RawResult(MySQLResult):
    """The result of one statement; ``rows`` are tuples of bytes, or None for NULL."""

    connection: DBConn
    field_count: int

    def _get_descriptions(self) -> None:
        for _ in range(self.field_count + 1):  # one packet per column, and the end
            self.connection.read_raw_packet()

    def _read_rowdata_packet(self) -> None:
        read = self.connection.read_raw_packet
        rows: list[tuple[Any, ...]] = []
        single = self.field_count == 1
        while True:
            packet = read()
            first = packet[0]
            if first == _EOF and len(packet) < _LONGEST_EOF:
                break
            if single and first < _NULL:
                rows.append((packet[1:],))
            else:
                rows.append(tuple(_fields(packet)))
        self.warning_count = int.from_bytes(packet[1:3], "little")
        self.has_next = bool(packet[3] & MORE_RESULTS)
        self.affected_rows = len(rows)
        self.rows = tuple(rows)


def _fields(packet: bytes) -> list[bytes | None]:
    """Cut a row into its length-coded fields."""
    fields: list[bytes | None] = []
    position, end = 0, len(packet)
    while position < end:
        length = packet[position]
        position += 1
        if length >= _NULL:
            if length == _NULL:
                fields.append(None)
                continue
            size = {_TWO_BYTES: 2, _THREE_BYTES: 3, _EIGHT_BYTES: 8}[length]
            length = int.from_bytes(packet[position : position + size], "little")
            position += size
        fields.append(packet[position : position + length])
        position += length
    return fields
