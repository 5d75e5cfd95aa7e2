"""How cases of one's own are written, for ``dbproxy-conformance record``.

A file of cases is a Python program that defines ``CASES``, a list of what ``case`` returns::

    from dbproxy.conformance.cases import case, step
    from dbproxy.wire.pb import buddy_pb2

    CASES = [
        case(
            "users_of_department_7",
            step(buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0)),
            tables={"IMUser": [...]},
        )
    ]

What a program answers, stores and changes at each step becomes the expectation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from dbproxy.conformance.comparison import shown_message
from dbproxy.testing.client import BY_REQUEST
from dbproxy.testing.observe import Fields


def step(message: Message, *, seq: int = 1, replies: int | None = None, header: Mapping[str, int] | None = None) -> Fields:
    """Return the step that sends ``message``, one of the 26 requests. ``replies``: how many PDUs to wait for, 0 for silence, None: as the
    command has. ``header``: other values for service_id, command_id, version, flag or reserved.

    Raises:
        ValueError: no command has this message as its request.

    """
    command = BY_REQUEST.get(type(message))
    if command is None:
        raise ValueError(f"{type(message).__name__} is not the request of a command")
    made: Fields = {"command": command.name, "fields": shown_message(message)}
    if seq != 1:
        made["seq"] = seq
    wanted = replies if replies is not None else int(command.reply is not None)
    if wanted != 1:
        made["replies"] = wanted
    if header:
        made["header"] = dict(header)
    return made


def raw(data: bytes, *, replies: int = 0) -> Fields:
    """Return the step that sends bytes as they are; ``replies`` 0 waits for silence or for the end of the connection."""
    return {"raw": data.hex(), "replies": replies}


def wait_tick() -> Fields:
    """Return the step that waits until the background group sync has run."""
    return {"wait_tick": True}


def case(
    name: str,
    *steps: Fields,
    tables: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
    redis: Mapping[str, object] | None = None,
    topic: str = "own",
    after_tick: bool = False,
    note: str = "",
) -> Fields:
    """Return a case. ``tables``: table → rows to start from, all rows of a table with the same columns. ``redis``: key → text, or field →
    text of a hash. ``after_tick``: begin right after a run of the background group sync. ``note``: for readers.

    Raises:
        ValueError: there is no step, or the name is empty.

    """
    if not name or not steps:
        raise ValueError("a case needs a name and at least one step")
    made: Fields = {"name": name, "topic": topic, "tables": {table: [dict(row) for row in rows] for table, rows in (tables or {}).items()}}
    made |= {"redis": dict(redis or {}), "steps": list(steps)}
    if after_tick:
        made["after_tick"] = True
    if note:
        made["note"] = note
    return made
