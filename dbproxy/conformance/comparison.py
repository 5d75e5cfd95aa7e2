"""How replies and changes are shown in a recording, and the comparison of what was expected with what has happened. Pure functions."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError, Message

from dbproxy.testing.client import Pdu
from dbproxy.testing.observe import Fields, text

Json: TypeAlias = Any


def raw(shown: str) -> bytes:
    """Undo :func:`~dbproxy.testing.observe.text`."""
    return bytes.fromhex(shown[4:]) if shown.startswith("hex:") else shown.encode()


def shown_message(message: Message) -> Fields:
    """Return the fields of a message that are present, as a recording shows them."""
    return {field.name: _shown_field(value) for field, value in message.ListFields()}


def _shown_field(value: Json) -> Json:
    if isinstance(value, Message):
        return shown_message(value)
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, (str, int)):
        return value
    return [_shown_field(item) for item in value]


def shown_pdu(pdu: Pdu) -> Fields:
    """Return a reply as a recording shows it."""
    shown: Fields = {name: getattr(pdu, name) for name in ("version", "flag", "service_id", "command_id", "seq_num", "reserved")}
    kind = pdu.message_type
    if kind is None:
        return {**shown, "message": None, "body": pdu.body.hex()}
    shown["message"] = kind.DESCRIPTOR.full_name
    message = kind()
    try:
        message.MergeFromString(pdu.body)
    except DecodeError:
        return {**shown, "undecodable": pdu.body.hex()}
    shown["fields"] = shown_message(message)
    shown["canonical"] = message.SerializePartialToString(deterministic=True) == pdu.body
    return _untie(shown)


def _untie(shown: Fields) -> Fields:
    """Sort the lists that are ordered by a time in seconds by id, so that two equal times cannot differ; say whether they were in order."""
    fields = shown["fields"]
    for name in ("contact_session_list", "group_version_list", "group_info_list"):
        if name not in fields:
            continue
        if name == "contact_session_list":
            times = [session.get("updated_time", 0) for session in fields[name]]
            shown["newest_first"] = times == sorted(times, reverse=True)
        fields[name].sort(key=lambda item: (item.get("session_type", 0), item.get("session_id", item.get("group_id", 0))))
    return shown


def with_now(value: Json, earliest: int, latest: int) -> Json:
    """Replace every unix time from ``earliest`` to ``latest`` by ``@now``."""
    if isinstance(value, dict):
        return {key: with_now(item, earliest, latest) for key, item in value.items()}
    if isinstance(value, list):
        return [with_now(item, earliest, latest) for item in value]
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value
    return "@now" if isinstance(number, int) and earliest <= number <= latest else value


def differences(expected: Json, found: Json, path: str = "") -> list[str]:
    """Return a sentence for each place where ``found`` is not what was ``expected``."""
    if expected == "@any":
        return []
    if isinstance(expected, dict) and isinstance(found, dict):
        complaints = []
        for key in sorted(expected.keys() | found.keys(), key=str):
            if key not in expected:
                complaints.append(f"{path}/{key}: unexpected {_short(found[key])}")
            elif key in found:
                complaints += differences(expected[key], found[key], f"{path}/{key}")
            elif expected[key] != "@any":
                complaints.append(f"{path}/{key}: missing {_short(expected[key])}")
        return complaints
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [complaint for k, (one, other) in pairs for complaint in differences(one, other, f"{path}[{k}]")]
    if isinstance(expected, str) and isinstance(found, str) and "hex:" in (expected[:4], found[:4]):
        return [] if raw(expected) == raw(found) else [f"{path}: expected {_short(expected)}, found {_short(found)}"]  # shown in two ways
    return [] if expected == found else [f"{path}: expected {_short(expected)}, found {_short(found)}"]


def _short(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)[:300]
