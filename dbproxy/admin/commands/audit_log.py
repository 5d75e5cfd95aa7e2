"""``dbproxy-admin audit-log``: who did what. It needs neither MySQL nor Redis."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from dbproxy.admin.audit_log import AuditLog
from dbproxy.admin.commands.frame import EXIT_OK, add_command, print_json, print_line, print_table
from dbproxy.config import Config
from dbproxy.option_types import whole_number

MOST_ENTRIES = 10_000


def add_commands(topics: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``audit-log`` with its command."""
    topic = topics.add_parser("audit-log", help="who did what", description="Who did what, on the command line and in the browser.")
    commands = topic.add_subparsers(metavar="COMMAND", required=True)
    limit = "entries, at most (default: %(default)s)"
    command = add_command(commands, "show", _show, "show the newest entries, newest first")
    command.add_argument("--limit", metavar="N", type=whole_number(1, MOST_ENTRIES), default=50, help=limit)
    before = "continue with the entries before this position, which the former page has printed"
    command.add_argument("--before", metavar="POSITION", type=whole_number(0, 2**63 - 1), help=before)
    command.set_defaults(without_backends=True)


def _show(config: Config, options: argparse.Namespace) -> int:
    entries, following = AuditLog(Path(config.admin.data_dir)).newest(options.limit, options.before)
    if options.json:
        print_json({"entries": entries, "following": following})
        return EXIT_OK
    columns = ("time", "who", "from", "action", "what", "outcome", "details")
    print_table(columns, (_cells(entry) for entry in entries))
    if following is not None:
        print_line(f"there are more: --before {following}")
    return EXIT_OK


def _cells(entry: dict[str, Any]) -> list[str]:
    details = entry.get("details") or {}
    shown = json.dumps(details, ensure_ascii=False) if details else ""
    return [str(entry.get(key, "")) for key in ("time", "actor", "origin", "action", "target", "outcome")] + [shown]
