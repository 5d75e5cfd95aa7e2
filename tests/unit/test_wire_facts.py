"""The generated code and the command table against the facts of the wire (tests/data/wire.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from field_kinds import is_repeated, is_required
from google.protobuf.descriptor import FieldDescriptor

from dbproxy.wire.commands import COMMANDS, HEARTBEAT_PDU, STOP_RECEIVE_PDU
from dbproxy.wire.pb import (
    base_define_pb2,
    buddy_pb2,
    file_pb2,
    group_pb2,
    login_pb2,
    message_pb2,
    other_pb2,
    server_pb2,
    switch_service_pb2,
)

WIRE: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "wire.json").read_text(encoding="utf-8"))
MODULES = {
    "IM.BaseDefine": base_define_pb2,
    "IM.Buddy": buddy_pb2,
    "IM.File": file_pb2,
    "IM.Group": group_pb2,
    "IM.Login": login_pb2,
    "IM.Message": message_pb2,
    "IM.Other": other_pb2,
    "IM.Server": server_pb2,
    "IM.SwitchService": switch_service_pb2,
}
SCALARS = {FieldDescriptor.TYPE_UINT32: "uint32", FieldDescriptor.TYPE_STRING: "string", FieldDescriptor.TYPE_BYTES: "bytes"}


def descriptor_of(kind: str, full_name: str) -> Any:
    package, _, name = full_name.rpartition(".")
    descriptor = MODULES[package].DESCRIPTOR
    return (descriptor.message_types_by_name if kind == "message" else descriptor.enum_types_by_name)[name]


def label_of(field: FieldDescriptor) -> str:
    if is_repeated(field):
        return "repeated"
    return "required" if is_required(field) else "optional"


def type_of(field: Any) -> str:
    if field.message_type is not None:
        return str(field.message_type.full_name)
    if field.enum_type is not None:
        return str(field.enum_type.full_name)
    return SCALARS[field.type]


def test_the_facts_are_complete() -> None:
    assert (len(WIRE["messages"]), len(WIRE["enums"]), len(WIRE["files"])) == (110, 23, 9)


@pytest.mark.parametrize("full_name", sorted(WIRE["messages"]))
def test_message_has_exactly_the_fields_of_the_protocol(full_name: str) -> None:
    fields = descriptor_of("message", full_name).fields
    got = [
        [field.number, label_of(field), type_of(field), field.name]
        + ([{"default": field.enum_type.values_by_number[field.default_value].name}] if field.enum_type and field.has_default_value else [])
        for field in fields
    ]
    want = [[*entry[:4], *entry[4:]] for entry in WIRE["messages"][full_name]]
    assert sorted(got) == sorted(want)


@pytest.mark.parametrize("full_name", sorted(WIRE["enums"]))
def test_enum_has_exactly_the_values_of_the_protocol(full_name: str) -> None:
    values = descriptor_of("enum", full_name).values
    assert {value.name: value.number for value in values} == WIRE["enums"][full_name]


def test_generated_modules_define_nothing_else() -> None:
    for package, module in MODULES.items():
        descriptor = module.DESCRIPTOR
        assert descriptor.package == package
        assert {f"{package}.{name}" for name in descriptor.message_types_by_name} <= set(WIRE["messages"])
        assert {f"{package}.{name}" for name in descriptor.enum_types_by_name} <= set(WIRE["enums"])


def test_command_table_is_that_of_the_protocol() -> None:
    got = {
        command.command_id: (
            command.name,
            command.service_id,
            command.request.DESCRIPTOR.full_name,
            command.reply_command_id or None,
            command.reply_service_id or None,
            command.reply.DESCRIPTOR.full_name if command.reply else None,
        )
        for command in COMMANDS.values()
    }
    want = {
        fact["command_id"]: (
            fact["command"],
            fact["service_id"],
            fact["request"],
            fact["response_command_id"],
            fact["response_service_id"],
            fact["response"],
        )
        for fact in WIRE["commands"]
    }
    assert got == want


def test_heartbeat_and_stop_packet_are_those_of_the_original() -> None:
    assert HEARTBEAT_PDU.hex() == "00000010000100000007070100000000"
    assert STOP_RECEIVE_PDU.hex() == "000000120001000000070702000000000800"
