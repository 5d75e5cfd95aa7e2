"""Strings of the protocol that are not UTF-8: C++ passes them on, so we do."""

from __future__ import annotations

from google.protobuf.message import Message


def echo_text(reply: Message, field: str, text: str | bytes) -> None:
    """Set a string field of a reply to what came in a request or from a store.

    Protobuf for Python takes bytes for a string when they are UTF-8. A string that is not UTF-8 it hands out as bytes, and takes them
    back only in their serialised form.
    """
    try:
        setattr(reply, field, text)
    except ValueError:
        number = reply.DESCRIPTOR.fields_by_name[field].number
        encoded = text if isinstance(text, bytes) else text.encode()
        reply.MergeFromString(_varint(number << 3 | 2) + _varint(len(encoded)) + encoded)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
