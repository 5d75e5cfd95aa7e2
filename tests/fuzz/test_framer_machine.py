"""The framer against a model that is too simple to be wrong: all bytes so far, cut anew from the beginning each time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dbproxy.wire.pdu import HEADER, HEADER_LENGTH, Framer, ImPdu, pack_pdu

LIMIT = 200


def cut(stream: bytes) -> tuple[list[ImPdu], int, bool]:
    """The PDUs of a stream, how many bytes they take, and whether a broken length follows them."""
    found: list[ImPdu] = []
    position = 0
    while len(stream) - position >= HEADER_LENGTH:
        length, _, _, service_id, command_id, seq_num, _ = HEADER.unpack_from(stream, position)
        if length < HEADER_LENGTH or length > LIMIT:
            return found, position, True
        if len(stream) - position < length:
            break
        found.append(ImPdu(service_id, command_id, seq_num, stream[position + HEADER_LENGTH : position + length]))
        position += length
    return found, position, False


whole_pdus = st.builds(pack_pdu, st.integers(0, 9), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=60))


class FramerMachine(RuleBasedStateMachine):
    """Feeds whole PDUs, parts of them, broken lengths and noise in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.framer = Framer(LIMIT)
        self.stream = b""
        self.pieces = b""
        self.got: list[ImPdu] = []

    def feed(self, data: bytes) -> None:
        self.stream += data
        self.got += self.framer.feed(data)

    @rule(pdus=st.lists(whole_pdus, max_size=4))
    def send_whole(self, pdus: list[bytes]) -> None:
        self.feed(self.pieces + b"".join(pdus))
        self.pieces = b""

    @rule(pdu=whole_pdus, position=st.integers(0, 76))
    def begin_one(self, pdu: bytes, position: int) -> None:
        """Send what is left of an earlier one, and the beginning of this one."""
        self.feed(self.pieces + pdu[:position])
        self.pieces = pdu[position:]

    @rule(count=st.integers(0, 20))
    def send_a_piece(self, count: int) -> None:
        self.feed(self.pieces[:count])
        self.pieces = self.pieces[count:]

    @rule(length=st.one_of(st.integers(0, HEADER_LENGTH - 1), st.integers(LIMIT + 1, 2**32 - 1)), rest=st.binary(max_size=40))
    def send_a_broken_length(self, length: int, rest: bytes) -> None:
        self.feed(self.pieces + HEADER.pack(length, 1, 0, 3, 0x0301, 1, 0) + rest)
        self.pieces = b""

    @rule(length=st.integers(0, 2**32 - 1), cut_off=st.integers(0, HEADER_LENGTH))
    def send_any_length(self, length: int, cut_off: int) -> None:
        self.feed(HEADER.pack(length, 1, 0, 3, 0x0301, 1, 0)[:cut_off])

    @rule(noise=st.binary(max_size=40))
    def send_noise(self, noise: bytes) -> None:
        self.feed(noise)

    @invariant()
    def it_has_returned_what_the_model_finds(self) -> None:
        expected, taken, broken = cut(self.stream)
        assert self.got == expected
        assert (self.framer.error is not None) == broken
        if not broken:
            assert self.framer.pending == len(self.stream) - taken
        assert self.framer.pending < LIMIT


TestFramer = FramerMachine.TestCase
TestFramer.settings = settings(max_examples=200, stateful_step_count=20, derandomize=True, deadline=None)
