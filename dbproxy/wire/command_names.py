"""How people name commands, and which they mean. Any thread."""

from __future__ import annotations

from typing import Any

from dbproxy.wire.commands import COMMANDS, Command


def find_command(text: str) -> Command[Any, Any]:
    """Return the command that is meant by its name (``CID_MSG_DATA``, ``MSG_DATA``), its request message (``IMMsgData``) or its id
    (``0x0301``, ``769``). The beginning of a name will do if no other has it; upper and lower case are alike.

    Raises:
        ValueError: none or more than one is meant; the text says so.

    """
    try:
        number = int(text, 0)
    except ValueError:
        return _by_name(text)
    if number in COMMANDS:
        return COMMANDS[number]
    raise ValueError(f"{text}: no command has this id")


def _by_name(text: str) -> Command[Any, Any]:
    wanted = text.lower()
    found = {}
    for command in COMMANDS.values():
        names = (command.name.lower(), command.name.lower().removeprefix("cid_"), command.request.__name__.lower())
        if wanted in names:
            return command
        if wanted and any(name.startswith(wanted) for name in names):
            found[command.name] = command
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{text[:100]!r} may be any of {', '.join(sorted(found))}")
    raise ValueError(
        f"{text[:100]!r} is no command; the names are those of the protocol: " + ", ".join(sorted(c.name for c in COMMANDS.values()))
    )
