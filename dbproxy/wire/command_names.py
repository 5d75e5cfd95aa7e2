"""How people name commands, and which they mean. Any thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbproxy.wire.commands import COMMANDS, Command
from dbproxy.wire.pdu_kinds import PDU_KINDS, PduKind


def find_command(text: str) -> Command[Any, Any]:
    """Return the command that is meant by its name (``CID_MSG_DATA``, ``MSG_DATA``), its request message (``IMMsgData``) or its id
    (``0x0301``, ``769``). The beginning of a name will do if no other has it; upper and lower case are alike.

    Raises:
        ValueError: none or more than one is meant; the text says so.

    """
    try:
        number = int(text, 0)
    except ValueError:
        return COMMANDS[_by_name(text, (PDU_KINDS[command_id] for command_id in COMMANDS)).command_id]
    if number in COMMANDS:
        return COMMANDS[number]
    raise ValueError(f"{text}: no command has this id")


def find_pdu_kind(text: str) -> PduKind:
    """As ``find_command``, among all that the protocol has, for whatever server.

    Raises:
        ValueError: none or more than one is meant; the text says so.

    """
    try:
        number = int(text, 0)
    except ValueError:
        return _by_name(text, PDU_KINDS.values())
    if number in PDU_KINDS:
        return PDU_KINDS[number]
    raise ValueError(f"{text}: no command has this id")


def _by_name(text: str, candidates: Iterable[PduKind]) -> PduKind:
    wanted = text.lower()
    found, known = {}, []
    for candidate in candidates:
        names = (candidate.name.lower(), candidate.name.lower().removeprefix("cid_"), candidate.message.__name__.lower())
        if wanted in names:
            return candidate
        if wanted and any(name.startswith(wanted) for name in names):
            found[candidate.name] = candidate
        known.append(candidate.name)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ValueError(f"{text[:100]!r} may be any of {', '.join(sorted(found))}")
    raise ValueError(f"{text[:100]!r} is no command; the names are those of the protocol: " + ", ".join(sorted(known)))
