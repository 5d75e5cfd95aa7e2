"""From the bytes of a body to names and values that can be shown; which fields hold secrets, and which name users. No I/O; any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from dbproxy.wire.pb import base_define_pb2 as base

SECRET_FIELDS = frozenset({"device_token", "password", "token", "user_token"})
"""Names of fields that are never shown, in whatever message they stand."""

HIDDEN = "<hidden>"
"""Stands where a secret is."""

MAX_DECODED = 256 * 1024
"""Bytes of a body that is decoded; of a longer one only the length is shown."""

MAX_ITEMS = 20
"""Entries of a list that are shown."""

MAX_TEXT = 500
"""Characters of a text, and MAX_HEX bytes of what is no text, that are shown."""
MAX_HEX = 64

MAX_DEPTH = 8
"""Messages within messages that are shown; the protocol's go two levels deep."""

_USER_IDS = ("user_id_list", "member_id_list")
"""How the names of lists of users end."""

_SINGLE_SESSION = frozenset({base.SESSION_TYPE_SINGLE})
_SINGLE_MESSAGE = frozenset({base.MSG_TYPE_SINGLE_TEXT, base.MSG_TYPE_SINGLE_AUDIO})
_SESSIONS = (("session_id", "session_type", _SINGLE_SESSION), ("to_session_id", "msg_type", _SINGLE_MESSAGE))
"""A session is a user if it is one between two people: field of the session, field of its type, the types that mean so."""


def decode(kind: type[Message], body: bytes, *, contents: bool) -> dict[str, Any]:
    """Return the body of a PDU as ``{"message": name, "bytes": length, "fields": {name: value}}``, fit for JSON.

    Numbers are numbers, enums the names of their values (an unknown value is not in ``fields``). Without ``contents`` strings and bytes are
    ``"<N bytes>"``; with it they are text, or hexadecimal digits where they are none. Fields of ``SECRET_FIELDS`` are ``"<hidden>"``
    in both. A body that cannot be used, or is longer than ``MAX_DECODED``, has ``"problem": text`` in place of ``fields`` or beside them.
    """
    shown: dict[str, Any] = {"message": kind.__name__, "bytes": len(body)}
    if len(body) > MAX_DECODED:
        return {**shown, "problem": f"longer than {MAX_DECODED} bytes"}
    try:
        message = kind.FromString(body)
    except DecodeError:
        return {**shown, "problem": "does not parse"}
    if not message.IsInitialized():
        lacking: list[str] = message.FindInitializationErrors()  # type: ignore[attr-defined]
        shown["problem"] = "lacks " + ", ".join(lacking)
    shown["fields"] = fields_of(message, contents=contents)
    return shown


def fields_of(message: Message, *, contents: bool, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the fields that are set, as in ``decode``; of a list at most ``MAX_ITEMS`` entries and one that counts the others."""
    return {field.name: _value(field, value, contents, depth) for field, value in message.ListFields()}


def shown_value(field: FieldDescriptor, value: Any, *, contents: bool) -> Any:  # noqa: ANN401 - of any type that a field can have
    """Return one value of a field, of a list one entry, as in ``decode``."""
    return HIDDEN if field.name in SECRET_FIELDS else _single(field, value, contents, MAX_DEPTH)


def users_of(message: Message) -> Iterator[int]:
    """Yield the ids of all users whom the message is from or about: its user ids, members, and sessions with a user; also those of a
    message in it, such as the user of a login, but not of lists of messages.
    """
    for take in _user_fields(message.DESCRIPTOR):
        yield from take(message)


def names_users(kind: type[Message]) -> bool:
    """Whether messages of this kind have a field that says which user they are from or about. A login has not: it has a name."""
    return bool(_user_fields(kind.DESCRIPTOR))


def _value(field: FieldDescriptor, value: Any, contents: bool, depth: int) -> Any:  # noqa: ANN401 - of any type that a field can have
    if field.name in SECRET_FIELDS:
        return HIDDEN
    if isinstance(value, (str, bytes, int, float, Message)):
        return _single(field, value, contents, depth)
    shown = [_single(field, item, contents, depth) for item in value[:MAX_ITEMS]]
    return [*shown, f"... and {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else shown


def _single(field: FieldDescriptor, value: Any, contents: bool, depth: int) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, Message):
        return fields_of(value, contents=contents, depth=depth - 1) if depth else "..."
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, (str, bytes)):
        return _text(value) if contents else f"<{len(value.encode() if isinstance(value, str) else value)} bytes>"
    return value


def _text(value: str | bytes) -> str:
    if isinstance(value, str):
        text = value
    else:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            more = f"... ({len(value)} bytes)" if len(value) > MAX_HEX else ""
            return "0x" + value[:MAX_HEX].hex() + more
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


@cache  # one entry for each kind of message that the program knows
def _user_fields(kind: Descriptor) -> Sequence[Callable[[Any], Iterator[int]]]:
    """What yields the users of a message of this kind, one callable for each of its fields."""
    names = kind.fields_by_name
    found: list[Callable[[Any], Iterator[int]]] = []
    for name in names:
        if name == "user_id" or name.endswith(("_user_id", *_USER_IDS)):
            found.append(_ids(name))
        elif names[name].message_type is not None:
            found += [_nested(name)] if _user_fields(names[name].message_type) else []
    for session, session_type, single in _SESSIONS:
        if session in names and session_type in names:
            found.append(_session(session, session_type, single))
    return tuple(found)


def _ids(name: str) -> Callable[[Any], Iterator[int]]:
    def take(message: Any) -> Iterator[int]:  # noqa: ANN401 - a message that has the field
        value = getattr(message, name)
        if isinstance(value, int):
            yield value
        else:
            yield from value

    return take


def _nested(name: str) -> Callable[[Any], Iterator[int]]:
    def take(message: Any) -> Iterator[int]:  # noqa: ANN401 - as above
        value = getattr(message, name)
        if isinstance(value, Message) and message.HasField(name):
            yield from users_of(value)

    return take


def _session(name: str, type_name: str, single: frozenset[int]) -> Callable[[Any], Iterator[int]]:
    def take(message: Any) -> Iterator[int]:  # noqa: ANN401 - as above
        if getattr(message, type_name) in single:
            yield getattr(message, name)

    return take
