"""protos/teamtalk.lua, the dissector for Wireshark: tables made from the messages of the protocol, and the program in dissector.lua."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from dbproxy.wire.pb import base_define_pb2
from dbproxy.wire.pdu_kinds import PDU_KINDS, PduKind
from devtools.generated import ROOT, write_or_check

DISSECTOR = ROOT / "protos" / "teamtalk.lua"
PROGRAM = Path(__file__).with_name("dissector.lua")

_TYPES = {FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BYTES: "bytes", FieldDescriptor.TYPE_UINT32: "uint32"}
"""Every type that the protocol uses for values; another one would need code in dissector.lua."""


def make() -> str:
    """Return the text of the dissector."""
    return PROGRAM.read_text(encoding="utf-8").replace("@TABLES@\n", "\n".join(_tables()) + "\n")


def _tables() -> Iterator[str]:
    services = base_define_pb2.DESCRIPTOR.enum_types_by_name["ServiceID"]
    yield _table("SERVICES", {f"[{value.number}]": _quoted(value.name) for value in services.values}, "service id -> name")
    kinds = sorted(PDU_KINDS.values(), key=lambda kind: kind.command_id)
    names = {f"[0x{kind.command_id:04x}]": _quoted(kind.name) for kind in kinds}
    yield _table("COMMAND_NAMES", names, "command id -> name")
    messages = {f"[0x{kind.command_id:04x}]": _quoted(kind.message.__name__) for kind in kinds}
    yield _table("COMMAND_MESSAGES", messages, "command id -> message")
    replies = {f"[0x{kind.command_id:04x}]": f"0x{kind.reply_id:04x}" for kind in kinds if kind.reply_id}
    yield _table("REPLIES", replies, "command id -> that of the answer")
    data, ack = base_define_pb2.CID_MSG_DATA, base_define_pb2.CID_MSG_DATA_ACK
    yield _table("ALIASES", {f"[0x{data:04x}]": f"0x{ack:04x}"}, "a proxy answers a message with itself, a message server acknowledges it")
    found = _reachable(kinds)
    enums = {field.enum_type.name: field.enum_type for message in found for field in message.fields if field.enum_type is not None}
    yield _table("ENUMS", {name: _enum(enums[name]) for name in sorted(enums)}, "enum -> value -> name")
    yield _table("MESSAGES", {message.name: _message(message) for message in found}, "message -> number of the field -> field")


def _reachable(kinds: Iterable[PduKind]) -> list[Descriptor]:
    """The messages, and those within them, by name."""
    found: dict[str, Descriptor] = {}
    waiting: list[Any] = [kind.message.DESCRIPTOR for kind in kinds]
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            found[message.name] = message
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return [found[name] for name in sorted(found)]


def _message(message: Descriptor) -> str:
    return "{ " + ", ".join(f"[{field.number}] = {_field(field)}" for field in message.fields) + " }"


def _field(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        kind = f"message = {_quoted(field.message_type.name)}"
    elif field.enum_type is not None:
        kind = f"enum = {_quoted(field.enum_type.name)}"
    else:
        kind = f"type = {_quoted(_TYPES[field.type])}"
    return f"{{ name = {_quoted(field.name)}, {kind} }}"


def _enum(enum: EnumDescriptor) -> str:
    return "{ " + ", ".join(f"[{value.number}] = {_quoted(value.name)}" for value in enum.values) + " }"


def _table(name: str, items: Mapping[str, str], comment: str) -> str:
    lines = "".join(f"    {key} = {value},\n" for key, value in items.items())
    return f"-- {comment}\nlocal {name} = {{\n{lines}}}\n"


def _quoted(text: str) -> str:
    return f'"{text}"'


if __name__ == "__main__":
    sys.exit(write_or_check("scripts/generate_dissector", __doc__ or "", DISSECTOR, make))
