"""``dbproxy-admin prune`` archives old messages to files and removes them from the database; ``restore`` puts them back."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    EXIT_REFUSED,
    Commands,
    add_command,
    print_error,
    print_json,
    print_line,
    print_rows,
    print_table,
)
from dbproxy.admin.commands.times import ACCEPTED, point_in_time, shown_time
from dbproxy.admin.messages.archive import PrunePlan, PruneReport, Pruning
from dbproxy.admin.messages.archive_restore import Restoring
from dbproxy.output import write_line

_PROGRESS_EVERY = 2.0
"""Seconds between two lines of progress."""


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = add_command(topics, "prune", _prune, "archive old messages to files and remove them from the database", changes=True)
    parser.add_argument("--older-than", metavar="TIME", type=point_in_time, required=True, help=f"archive messages from before: {ACCEPTED}")
    parser.add_argument(
        "--archive-dir", metavar="DIR", type=Path, help="where the archives are (default: the directory archive in AdminDataDir)"
    )
    parser = add_command(topics, "restore", _restore, "put the messages of an archive back into the database", changes=True)
    parser.add_argument("directory", metavar="DIR", type=Path, help="the directory of a run of prune, prune-…")


def _prune(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    pruning = Pruning(administration, options.archive_dir)
    if options.dry_run:
        plan = pruning.plan(options.older_than)
        if options.json:
            print_json({"dry_run": True, "plan": plan, "removed": plan.removed})
        else:
            _print_plan(plan)
        return EXIT_OK
    shown = _Progress()
    report = pruning.run(options.older_than, lambda progress: shown(f"{progress.table}: {progress.rows} messages {progress.step}"))
    if options.json:
        print_json({"dry_run": False, "report": report, "archived": report.archived, "removed": report.removed})
    else:
        _print_report(report)
    return EXIT_OK


def _restore(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    shown = _Progress()
    report = Restoring(administration, options.directory).run(
        lambda progress: shown(f"{progress.table}: {progress.rows} of {progress.total} messages"), dry_run=options.dry_run
    )
    if options.json:
        print_json({"dry_run": options.dry_run, "report": report, "restored": report.restored, "left": report.left})
    else:
        rows = [(table.table, table.archived, table.restored, table.present, table.in_the_way, table.merged) for table in report.tables]
        done = "would be restored" if options.dry_run else "restored"
        print_rows(("table", "archived", done, "present", "in the way", "merged"), rows, "the archive has no messages")
    if report.left:
        print_error(f"{report.left} messages are not restored: the id of their row is taken, or their conversation was merged meanwhile")
    return EXIT_REFUSED if report.left else EXIT_OK


class _Progress:
    """Writes a line to the standard error now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PROGRESS_EVERY

    def __call__(self, text: str) -> None:
        if time.monotonic() >= self._next:
            write_line(sys.stderr, text)
            self._next = time.monotonic() + _PROGRESS_EVERY


def _print_plan(plan: PrunePlan) -> None:
    print_line(f"messages from before {shown_time(plan.before)} would be archived below {plan.directory} and removed")
    rows = [(table.table, table.old, table.kept, table.removed) for table in plan.tables if table.old]
    print_rows(("table", "older", "kept", "would be removed"), rows, "no messages are that old")
    print_line(f"{plan.removed} messages in all; the newest one of each conversation stays")
    for path in plan.unfinished:
        print_line(f"{path} has not ended: it would be finished first")


def _print_report(report: PruneReport) -> None:
    for table in report.finished:
        print_line(f"finished a former run: {table.removed} messages of {table.table} removed ({table.file})")
    if not report.tables:
        print_line(f"no message from before {shown_time(report.before)} is to be archived")
        return
    print_table(("table", "archived", "removed"), [(table.table, table.archived, table.removed) for table in report.tables])
    print_line(f"{report.archived} messages are in {report.directory}")
