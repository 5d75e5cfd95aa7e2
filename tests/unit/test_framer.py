"""The framer: any cutting of a stream gives the same PDUs, and a broken stream is broken for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire.pdu import HEADER, Framer, ImPdu, pack_pdu

LIMIT = 1000

pdus = st.lists(
    st.builds(ImPdu, *[st.integers(0, 0xFFFF)] * 3, st.binary(max_size=200)),
    max_size=8,
)


def stream_of(items: list[ImPdu]) -> bytes:
    return b"".join(pack_pdu(pdu.service_id, pdu.command_id, pdu.seq_num, pdu.body) for pdu in items)


@given(pdus, st.data())
def test_any_cutting_gives_the_same_pdus(items: list[ImPdu], data: st.DataObject) -> None:
    stream = stream_of(items)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer, got = Framer(LIMIT), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += framer.feed(stream[start:end])
    assert got == items
    assert framer.error is None
    assert framer.pending == 0


@given(pdus, st.one_of(st.integers(0, 15), st.integers(LIMIT + 1, 2**32 - 1)), st.binary(max_size=300))
def test_bad_length_breaks_the_stream_after_the_pdus_before_it(items: list[ImPdu], length: int, rest: bytes) -> None:
    framer = Framer(LIMIT)
    assert framer.feed(stream_of(items) + HEADER.pack(length, 1, 0, 3, 0x0301, 1, 0) + rest) == items
    assert framer.error is not None
    assert str(length) in framer.error
    assert framer.feed(stream_of([ImPdu(1, 2, 3, b"")])) == []


@given(st.binary(max_size=2000))
def test_random_bytes_never_raise_and_never_pile_up(stream: bytes) -> None:
    framer = Framer(LIMIT)
    for start in range(0, len(stream), 7):
        framer.feed(stream[start : start + 7])
        assert framer.pending <= LIMIT + 7


@pytest.mark.parametrize("length", [16, LIMIT])
def test_shortest_and_longest_pdu_are_accepted(length: int) -> None:
    body = b"x" * (length - 16)
    framer = Framer(LIMIT)
    assert framer.feed(pack_pdu(3, 0x0301, 9, body)) == [ImPdu(3, 0x0301, 9, body)]


def test_nothing_is_returned_before_a_pdu_is_complete() -> None:
    stream = pack_pdu(3, 0x0301, 9, b"hello")
    framer = Framer(LIMIT)
    assert [framer.feed(stream[i : i + 1]) for i in range(len(stream) - 1)] == [[]] * (len(stream) - 1)
    assert framer.feed(stream[-1:]) == [ImPdu(3, 0x0301, 9, b"hello")]


def test_a_limit_that_shrinks_spares_the_pdu_that_has_begun_to_arrive() -> None:
    stream = pack_pdu(3, 0x0301, 9, bytes(100))
    framer = Framer(LIMIT)
    assert framer.feed(stream[:50]) == []
    framer.max_length = 64
    assert framer.feed(stream[50:] + pack_pdu(3, 0x0301, 10, b"short")) == [ImPdu(3, 0x0301, 9, bytes(100)), ImPdu(3, 0x0301, 10, b"short")]
    assert framer.error is None
    assert framer.feed(stream) == []
    assert framer.error is not None
