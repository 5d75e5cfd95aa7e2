"""Replays a recorded case against a proxy: what it answers, byte for byte, and every row and key that it changes.

A case: ``name``, ``tables`` (table → rows) and ``redis`` (key → value) to start from, ``steps``, ``expect`` (one per step).
A step: ``command`` and ``fields`` (or ``raw`` bytes in hex, or ``wait_tick``), ``seq`` (1), ``header`` fields that differ, ``partial`` for
a message without required fields, ``replies``: how many PDUs come back (1); 0 means that silence is waited for.
An expectation: ``replies`` (header, message, fields, and whether the body is the canonical encoding of them), ``mysql`` (table → rows
that are new or differ, ids that are gone), ``redis`` (keys that are new or differ), ``closed`` when the proxy closes the connection.
``@now`` is a unix time around the step, ``@any`` anything or nothing, ``hex:…`` bytes that are no UTF-8. ``after_tick`` says that the
case begins right after a run of the background group sync.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from dbproxy.testing import Client, ConnectionClosedError, Pdu, Stack, seed
from dbproxy.testing.client import pack
from dbproxy.testing.observe import Fields, Snapshot, changes, text
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import COMMANDS

Json: TypeAlias = Any

BY_NAME = {command.name: command for command in COMMANDS.values()}

REPLY_TIMEOUT = 8.0
CLOCK_SLACK = 3
"""A time counts as now when it is at most so many seconds away from the step."""


def raw(shown: str) -> bytes:
    """Undo :func:`~dbproxy.testing.observe.text`."""
    return bytes.fromhex(shown[4:]) if shown.startswith("hex:") else shown.encode()


def fill(message: Message, fields: Fields) -> Message:
    """Set the fields of a message from a recording and return it."""
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if isinstance(value, list):
            repeated = getattr(message, name)
            for item in value:
                if field.message_type is not None:
                    fill(repeated.add(), item)
                else:
                    repeated.append(item)
        elif field.message_type is not None:
            fill(getattr(message, name), value)
        else:
            setattr(message, name, raw(value) if field.type == FieldDescriptor.TYPE_BYTES else value)
    return message


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
            times = [session["updated_time"] for session in fields[name]]
            shown["newest_first"] = times == sorted(times, reverse=True)
        fields[name].sort(key=lambda item: (item.get("session_type", 0), item.get("session_id", item.get("group_id"))))
    return shown


def with_now(value: Json, earliest: int, latest: int) -> Json:
    """Replace every unix time from ``earliest`` to ``latest`` by ``@now``."""
    if isinstance(value, dict):
        return {key: with_now(item, earliest, latest) for key, item in value.items()}
    if isinstance(value, list):
        return [with_now(item, earliest, latest) for item in value]
    number = int(value) if isinstance(value, str) and value.isdigit() else value
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


class Replay:
    """Replays cases on a stack against the proxy that ``connect`` connects to; ``quiet`` is how many seconds count as silence."""

    def __init__(self, stack: Stack, connect: Callable[[], Client], quiet: float = 0.15) -> None:
        self._stack = stack
        self._connect = connect
        self._quiet = quiet

    def run(self, case: Fields) -> list[Fields]:
        """Run one case on empty stores and return what happened, one entry per step, in the form of ``expect``."""
        self._stack.reset()
        self._load(case)
        if case.get("after_tick"):
            self.wait_tick()
        earliest = int(time.time()) - CLOCK_SLACK
        before = self._snapshot(earliest, earliest + 2 * CLOCK_SLACK)
        happened = []
        client = self._connect()
        try:
            for step in case["steps"]:
                closed = False
                replies: list[Fields] = []
                if "wait_tick" in step:
                    self.wait_tick()
                else:
                    closed, replies = self._send(client, step)
                latest = int(time.time()) + CLOCK_SLACK
                after = self._snapshot(earliest, latest)
                found = {"replies": with_now(replies, earliest, latest), **changes(before, after)}
                if closed:
                    found["closed"] = True
                    client.close()
                    client = self._connect()
                happened.append(found)
                before = after
        finally:
            client.close()
        return happened

    def wait_tick(self, timeout: float = 12) -> None:
        """Wait until the background group sync has run; AssertionError when it does not within ``timeout`` seconds."""
        with self._stack.redis("unread") as client:
            client.delete("last_update_group")  # it is written at the end of a run
            assert eventually(lambda: client.exists("last_update_group"), 1, timeout), "the background group sync does not run"

    def _send(self, client: Client, step: Fields) -> tuple[bool, list[Fields]]:
        """Send a step's PDU and return whether the proxy closed the connection, and its replies."""
        if "raw" in step:
            client.send_raw(bytes.fromhex(step["raw"]))
        else:
            command = BY_NAME[step["command"]]
            body = fill(command.request(), step["fields"]).SerializePartialToString()
            header = {"service_id": command.service_id, "command_id": command.command_id, "seq_num": step.get("seq", 1)}
            header |= step.get("header", {})
            client.send_raw(pack(header.pop("service_id"), header.pop("command_id"), body, **header))
        wanted = step.get("replies", 1)
        replies: list[Fields] = []
        try:
            while not wanted or len(replies) < wanted:
                replies.append(shown_pdu(client.receive(REPLY_TIMEOUT if wanted else self._quiet)))
        except TimeoutError:
            return False, replies
        except ConnectionClosedError:
            return True, replies
        return False, replies

    def _load(self, case: Fields) -> None:
        for table, rows in case.get("tables", {}).items():
            seed.insert(self._stack, table, rows)
        for key, value in case.get("redis", {}).items():
            seed.redis_key(self._stack, key, value)

    def _snapshot(self, earliest: int, latest: int) -> Snapshot:
        # the times are replaced before two snapshots are compared, so that a second that passes between two steps shows nowhere
        tables, keys = self._stack.snapshot()
        return with_now(tables, earliest, latest), with_now(keys, earliest, latest)
