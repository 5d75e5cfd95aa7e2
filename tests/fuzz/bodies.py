"""Bodies of requests for Hypothesis: written byte by byte from the protocol's descriptors, so that nothing keeps them valid.

Fields may be missing, come twice or hold text that is no UTF-8; numbers are those at which something might break, and those of users and
groups that exist, so that many of the bodies come far into the handlers.
"""

from __future__ import annotations

from typing import Any, cast

from field_kinds import is_repeated, is_required
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

from dbproxy.wire.commands import COMMANDS, Command

VARINT, LENGTH_DELIMITED = 0, 2

PEOPLE = (1, 2, 3, 4)
GROUP = 9
"""Those that the tests have seeded."""

NUMBERS = st.one_of(
    st.sampled_from((*PEOPLE, GROUP)),
    st.sampled_from((0, 5, 127, 128, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)),
)

ODD_TEXTS = (
    *(b"", b"'", b"\\", b"%s%(x)s{}", b"\0", "👍".encode(), "名前".encode(), b"x" * 3000),
    *(b"\xff\xfe", b"\xed\xa0\x80"),  # no UTF-8, and a surrogate
)

TEXTS = st.one_of(
    st.sampled_from((b"alice", *ODD_TEXTS)),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=20),
)


def varint(number: int) -> bytes:
    """Encode a number of up to 64 bits."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


@st.composite
def bodies_of(draw: st.DrawFn, descriptor: Descriptor) -> bytes:
    """A body of this message: most often one that parses."""
    parts = []
    for field in descriptor.fields:
        for _ in range(draw(_times(field))):
            parts.append(_field(draw, field))  # noqa: PERF401 - drawing in a comprehension would be harder to read
    return b"".join(parts)


def _times(field: FieldDescriptor) -> st.SearchStrategy[int]:
    if is_repeated(field):
        return st.integers(0, 4)
    if is_required(field):
        return st.sampled_from((1,) * 30 + (0, 2))
    return st.sampled_from((0, 1))


def _field(draw: st.DrawFn, field: FieldDescriptor) -> bytes:
    if field.message_type is not None:
        return _delimited(field.number, draw(bodies_of(field.message_type)))
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return _delimited(field.number, draw(TEXTS))
    numbers = NUMBERS
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        numbers = st.sampled_from(known * 8 + [0, 2**31 - 1, 2**64 - 1])
    return varint(field.number << 3 | VARINT) + varint(draw(numbers))


def _delimited(number: int, value: bytes) -> bytes:
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(value)) + value


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A body of which some bytes are others, or the end is missing."""
    body = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3)) if body else 0):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


def bodies(command: Command[Any, Any]) -> st.SearchStrategy[bytes]:
    """Bodies for this command: most of them parse, some are damaged, some are any bytes."""
    good = bodies_of(cast("Descriptor", command.request.DESCRIPTOR))
    return st.one_of(good, good, good, damaged(good), st.binary(max_size=60))


def requests() -> st.SearchStrategy[tuple[Command[Any, Any], bytes]]:
    """A command and a body for it."""
    return st.sampled_from(sorted(COMMANDS.values(), key=lambda command: command.command_id)).flatmap(
        lambda command: st.tuples(st.just(command), bodies(command))
    )
