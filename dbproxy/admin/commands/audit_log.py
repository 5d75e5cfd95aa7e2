"""``dbproxy-admin audit-log``: who did what. It needs neither MySQL nor Redis."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from dbproxy.admin.access.audit_log import AuditLog
from dbproxy.admin.commands.frame import EXIT_OK, Commands, add_command, add_paging, add_topic, print_json, print_page
from dbproxy.admin.commands.times import shown_time
from dbproxy.admin.page import Page
from dbproxy.config import Config

MOST_ENTRIES = 10_000


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add ``audit-log`` with its command."""
    commands = add_topic(topics, "audit-log", "who did what", "Who did what, on the command line and in the browser.")
    command = add_command(commands, "show", _show, "show the newest entries, newest first")
    add_paging(command, MOST_ENTRIES)
    command.set_defaults(without_backends=True)


def _show(config: Config, options: argparse.Namespace) -> int:
    entries, following = AuditLog(Path(config.admin.data_dir)).newest(options.limit, options.after)
    if options.json:
        print_json({"entries": entries, "following": following})
        return EXIT_OK
    columns = ("time", "actor", "origin", "action", "target", "outcome", "details")
    print_page(Page(entries, following), columns, _cells, "no entries")
    return EXIT_OK


def _cells(entry: dict[str, Any]) -> list[str]:
    details = entry.get("details") or {}
    shown = json.dumps(details, ensure_ascii=False) if details else ""
    return [_time(entry.get("time")), *(str(entry.get(key, "")) for key in ("actor", "origin", "action", "target", "outcome")), shown]


def _time(recorded: object) -> str:
    """The local time of an entry; what is no time is shown as it is."""
    try:
        # Python 3.10 does not read a Z
        return shown_time(int(datetime.fromisoformat(str(recorded).replace("Z", "+00:00")).timestamp()))
    except (ValueError, OverflowError, OSError):
        return str(recorded or "")
