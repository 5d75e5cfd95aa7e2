"""The generated code says what protos/*.proto say: parsed as text here, so that a forgotten regeneration is noticed without a generator."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

PROTOS = sorted((Path(__file__).parent.parent.parent / "protos").glob("*.proto"))
SCALARS = {"uint32": 13, "string": 9, "bytes": 12, "int32": 5, "bool": 8}
LABELS = {"optional": 1, "required": 2, "repeated": 3}
FIELD = re.compile(r"(optional|required|repeated) ([\w.]+) (\w+) = (\d+)(?: \[default = (\w+)\])?;")
Body = tuple[str, str, dict[Any, Any]]


def module_of(path: Path) -> Any:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.name.removeprefix("IM.").removesuffix(".proto")).lower()
    return importlib.import_module(f"dbproxy.wire.pb.{name}_pb2")


def written(path: Path) -> tuple[str, list[Body]]:
    """Package, and (kind, name, content) of every message and enum in a .proto; nothing else may be in it."""
    text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    package = re.search(r"package ([\w.]+);", text)
    assert package is not None
    assert 'syntax = "proto2";' in text
    bodies: list[Body] = []
    for kind, name, body in re.findall(r"(message|enum) (\w+) \{([^}]*)\}", text):
        if kind == "enum":
            values = re.findall(r"(\w+) = (0x[0-9a-fA-F]+|\d+);", body)
            assert len(values) == body.count(";")
            bodies.append((kind, name, {value: int(number, 0) for value, number in values}))
        else:
            fields = FIELD.findall(body)
            assert len(fields) == body.count(";"), name
            bodies.append((kind, name, {int(number): (label, type_, field, default) for label, type_, field, number, default in fields}))
    rest = re.sub(r"(message|enum) \w+ \{[^}]*\}|syntax = \"proto2\";|package [\w.]+;|import \"[\w.]+\";|option \w+ = \w+;", "", text)
    assert rest.strip() == ""
    return package[1], bodies


def generated(path: Path) -> tuple[str, list[Body]]:
    proto = descriptor_pb2.FileDescriptorProto()
    module_of(path).DESCRIPTOR.CopyToProto(proto)
    assert proto.syntax in ("", "proto2")
    types = {number: name for name, number in SCALARS.items()}
    labels = {number: name for name, number in LABELS.items()}
    bodies: list[Body] = [("enum", enum.name, {value.name: value.number for value in enum.value}) for enum in proto.enum_type]
    for message in proto.message_type:
        fields = {
            field.number: (labels[field.label], field.type_name.lstrip(".") or types[field.type], field.name, field.default_value)
            for field in message.field
        }
        bodies.append(("message", message.name, fields))
    return proto.package, bodies


def qualified(package: str, bodies: list[Body]) -> list[Body]:
    """The same with full type names."""
    own = {name for _, name, _ in bodies}
    result: list[Body] = []
    for kind, name, body in bodies:
        if kind == "message":
            body = {
                number: (label, f"{package}.{type_}" if type_ in own else type_, field, default)
                for number, (label, type_, field, default) in body.items()
            }
        result.append((kind, name, body))
    return sorted(result, key=lambda entry: entry[:2])


def test_there_are_nine_files() -> None:
    assert len(PROTOS) == 9


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
def test_generated_module_is_what_the_file_says(path: Path) -> None:
    package, bodies = written(path)
    assert path.stem == package
    generated_package, generated_bodies = generated(path)
    assert generated_package == package
    assert qualified(package, bodies) == qualified(package, generated_bodies)
