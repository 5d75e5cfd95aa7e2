"""Replays a recorded case against a proxy: what it answers, byte for byte, and every row and key that it changes.

A case: ``name``, ``topic``, ``tables`` (table → rows) and ``redis`` (key → value) to start from, ``steps``, ``expect`` (one per step).
A step: ``command`` and ``fields`` (or ``raw`` bytes in hex, or ``wait_tick``), ``seq`` (1), ``header`` fields that differ, ``partial`` for
a message without required fields, ``replies``: how many PDUs come back (1); 0 means that silence is waited for.
An expectation: ``replies`` (header, message, fields, and whether the body is the canonical encoding of them), ``mysql`` (table → rows
that are new or differ, ids that are gone), ``redis`` (keys that are new or differ), ``closed`` when the proxy closes the connection.
``@now`` is a unix time around the step, ``@any`` anything or nothing, ``hex:…`` bytes that are no UTF-8. ``after_tick`` says that the
case begins right after a run of the background group sync.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dbproxy.conformance.comparison import raw, shown_pdu, with_now
from dbproxy.models.names import LAST_UPDATE_GROUP_KEY
from dbproxy.testing import seed
from dbproxy.testing.client import Client, ConnectionClosedError, pack
from dbproxy.testing.observe import Fields, Snapshot, changes
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import COMMANDS

BY_NAME = {command.name: command for command in COMMANDS.values()}

REPLY_TIMEOUT = 8.0
CLOCK_SLACK = 3
"""A time counts as now when it is at most so many seconds away from the step."""


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


class Replay:
    """Replays cases on a stack against the proxy that ``connect`` connects to. ``quiet`` is how many seconds count as silence, ``timeout``
    after how many a reply is missing. ``settle``: seconds for which a group session sync that has said that it is done may still write, as
    the original's may. One thread.
    """

    def __init__(
        self, stack: Stack, connect: Callable[[], Client], quiet: float = 0.15, timeout: float = REPLY_TIMEOUT, settle: float = 0
    ) -> None:
        self._settle = settle
        self._stack = stack
        self._connect = connect
        self._quiet = quiet
        self._timeout = timeout

    def run(self, case: Fields) -> list[Fields]:
        """Run one case on empty stores and return what happened, one entry per step, in the form of ``expect``; fewer if the proxy could
        not be connected to again.

        Raises:
            OSError: it could not be connected to at the beginning.

        """
        self._stack.reset()
        self._load(case)
        if case.get("after_tick"):
            self.wait_tick()
        earliest = int(time.time()) - CLOCK_SLACK
        before = self._snapshot(earliest, earliest + 2 * CLOCK_SLACK)
        happened: list[Fields] = []
        client: Client | None = self._connect()
        try:
            for step in case["steps"]:
                closed = False
                replies: list[Fields] = []
                if "wait_tick" in step:
                    self.wait_tick()
                else:
                    if client is None:
                        client = self._connect()
                    closed, replies = self._send(client, step)
                latest = int(time.time()) + CLOCK_SLACK
                after = self._snapshot(earliest, latest)
                found = {"replies": with_now(replies, earliest, latest), **changes(before, after)}
                if closed and client is not None:
                    found["closed"] = True
                    client.close()
                    client = None
                happened.append(found)
                before = after
        except OSError:  # TimeoutError is one: the sync does not run, or nobody accepts
            if not happened:
                raise
        finally:
            if client is not None:
                client.close()
        return happened

    def wait_tick(self, timeout: float = 12) -> None:
        """Wait until the background group sync has run; TimeoutError when it does not within ``timeout`` seconds."""
        with self._stack.redis("unread") as client:
            client.delete(LAST_UPDATE_GROUP_KEY)  # it is written at the end of a run
            if eventually(lambda: client.exists(LAST_UPDATE_GROUP_KEY), 1, timeout) != 1:
                raise TimeoutError("the background group sync does not run")
        time.sleep(self._settle)

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
                replies.append(shown_pdu(client.receive(self._timeout if wanted else self._quiet)))
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
