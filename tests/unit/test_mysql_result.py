"""Packets of MySQL: results are parsed the same however the stream is cut, and long statements are split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pymysql
import pytest

from dbproxy.stores.mysql.result import PacketReader, QueryResult, statement_packets

Field = bytes | None

END = b"\xfe\x00\x00\x02\x00"
LONGEST_PACKET = 0xFFFFFF


def field(value: Field) -> bytes:
    """A length-coded field."""
    if value is None:
        return b"\xfb"
    length = len(value)
    if length < 251:
        return bytes([length]) + value
    if length < 1 << 16:
        return b"\xfc" + length.to_bytes(2, "little") + value
    if length < 1 << 24:
        return b"\xfd" + length.to_bytes(3, "little") + value
    return b"\xfe" + length.to_bytes(8, "little") + value


def stream(payloads: Sequence[bytes]) -> bytes:
    """Packets with their headers; a payload of 16 MB or more takes several."""
    packets: list[bytes] = []
    for payload in payloads:
        rest = payload
        while True:
            part, rest = rest[:LONGEST_PACKET], rest[LONGEST_PACKET:]
            packets.append(len(part).to_bytes(3, "little") + bytes([(len(packets) + 1) & 0xFF]) + part)
            if len(part) < LONGEST_PACKET:
                break
    return b"".join(packets)


def result(rows: Sequence[Sequence[Field]]) -> list[bytes]:
    """The payloads of a result with these rows."""
    columns = len(rows[0]) if rows else 1
    return [bytes([columns]), *[b"\x03def" + b"?" * 40] * columns, END, *(b"".join(map(field, row)) for row in rows), END]


def read(data: bytes, piece: int) -> QueryResult:
    """Read a result that arrives in pieces of so many bytes."""
    pieces: Iterator[bytes] = (data[start : start + piece] for start in range(0, len(data), piece))
    source = PacketReader(lambda: next(pieces))
    source.sequence = 1
    return QueryResult(source)


ROWS: list[list[tuple[Field, ...]]] = [
    [],
    [(b"",)] * 3,
    [(None,), (b"x" * 249,), (b"x" * 250,), (b"x" * 251,), (b"x" * 252,), (b"\xfe",), (b"\xff" * 8,)],
    [(b"y" * 65535,), (b"y" * 65536,), (b"",)],
    [(b"1", None, b"nick"), (b"", b"", b""), (None, None, None), (b"z" * 300, b"2", None)],
    [(b"%d" % number,) for number in range(600)],
]


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 64, 65536])
@pytest.mark.parametrize("rows", ROWS, ids=["none", "empty", "around 251", "around 65536", "three columns", "more packets than numbers"])
def test_rows_do_not_depend_on_how_the_stream_is_cut(rows: list[tuple[Field, ...]], piece: int) -> None:
    found = read(stream(result(rows)), piece)
    assert list(found.rows) == rows
    assert found.affected_rows == len(rows)
    assert not found.has_next


@pytest.mark.parametrize("length", [LONGEST_PACKET - 4, LONGEST_PACKET - 3, LONGEST_PACKET, LONGEST_PACKET + 1, 2 * LONGEST_PACKET])
def test_rows_longer_than_a_packet_are_joined(length: int) -> None:
    rows = [(b"before",), (b"m" * length,), (b"behind",)]
    assert list(read(stream(result(rows)), 1 << 20).rows) == rows


@pytest.mark.parametrize("piece", [7, 65536])
def test_an_error_between_the_rows_is_raised(piece: int) -> None:
    payloads = result([(b"1",), (b"2",)])
    payloads[-1:] = [b"\xff\x25\x05#70100Query execution was interrupted"]
    with pytest.raises(pymysql.err.OperationalError, match="interrupted"):
        read(stream(payloads), piece)


@pytest.mark.parametrize("piece", [7, 65536])
def test_a_missing_packet_between_rows_is_an_error(piece: int) -> None:
    whole = stream(result([(b"1",), (b"2",), (b"3",)]))
    cut = whole.index(field(b"2")) - 4
    with pytest.raises(pymysql.err.OperationalError, match="out of order"):
        read(whole[:cut] + whole[cut + 6 :], piece)


@pytest.mark.parametrize("size", [LONGEST_PACKET - 1, LONGEST_PACKET, LONGEST_PACKET + 1, 2 * LONGEST_PACKET - 1, 2 * LONGEST_PACKET])
def test_a_long_statement_ends_with_a_packet_that_is_not_full(size: int) -> None:
    packets = statement_packets(b"s" * size)
    lengths = []
    position = 0
    while position < len(packets):
        lengths.append(int.from_bytes(packets[position : position + 3], "little"))
        assert packets[position + 3] == len(lengths) - 1
        position += 4 + lengths[-1]
    assert position == len(packets)
    assert sum(lengths) == size + 1  # with the command
    assert set(lengths[:-1]) <= {LONGEST_PACKET}
    assert lengths[-1] < LONGEST_PACKET
