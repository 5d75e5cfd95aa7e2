"""Where two messages differ, field by field. No I/O; any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from dbproxy.wire.decode import fields_of, shown_value

ABSENT = "absent"
"""Stands where a field is not set or a list has ended."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs."""

    field: str
    """Its path: ``msg_list[2].msg_data``."""
    expected: str
    found: str
    """Values as they are shown: numbers, names of enums, texts; ``ABSENT``."""

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


def differences(kind: type[Message], expected: bytes, found: bytes, ignored: Collection[str] = (), *, contents: bool) -> list[Difference]:
    """Compare two bodies of a kind of message. ``ignored``: names of fields that may differ, wherever they stand. Without ``contents``
    texts are shown as their lengths (but compared). A body that cannot be parsed differs as a whole.
    """
    if expected == found:
        return []
    try:
        first, second = kind.FromString(expected), kind.FromString(found)
    except DecodeError:
        return [Difference(kind.__name__, f"{len(expected)} bytes", f"{len(found)} bytes, and one of the two does not parse")]
    return list(_of_messages(first, second, "", ignored, contents))


def _of_messages(expected: Message, found: Message, path: str, ignored: Collection[str], contents: bool) -> Iterator[Difference]:
    first = {field.name: (field, value) for field, value in expected.ListFields()}
    second = {field.name: (field, value) for field, value in found.ListFields()}
    for name in dict.fromkeys((*first, *second)):
        if name in ignored:
            continue
        field = (first.get(name) or second[name])[0]
        before, after = (side[name][1] if name in side else None for side in (first, second))
        where = f"{path}.{name}" if path else name
        if not _is_list(before if before is not None else after):
            yield from _of_values(field, before, after, where, ignored, contents)
            continue
        before, after = before or (), after or ()
        for index in range(max(len(before), len(after))):
            one, other = (side[index] if index < len(side) else None for side in (before, after))
            yield from _of_values(field, one, other, f"{where}[{index}]", ignored, contents)


def _of_values(
    field: FieldDescriptor,
    expected: Any,  # noqa: ANN401 - of any type that a field can have
    found: Any,  # noqa: ANN401
    path: str,
    ignored: Collection[str],
    contents: bool,
) -> Iterator[Difference]:
    if isinstance(expected, Message) and isinstance(found, Message):
        yield from _of_messages(expected, found, path, ignored, contents)
    elif expected != found or type(expected) is not type(found):
        yield Difference(path, _shown(field, expected, contents), _shown(field, found, contents))


def _is_list(value: object) -> bool:
    return not isinstance(value, (str, bytes, int, float, Message))


def _shown(field: FieldDescriptor, value: Any, contents: bool) -> str:  # noqa: ANN401 - as above
    if value is None:
        return ABSENT
    if isinstance(value, Message):
        return str(fields_of(value, contents=contents))
    return str(shown_value(field, value, contents=contents))
