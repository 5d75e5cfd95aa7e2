"""The command dbproxy-audit: command line → exit code."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbproxy import __version__
from dbproxy.audit import backup
from dbproxy.audit.auditor import audit, open_stores
from dbproxy.audit.finding import Entry, Outcome, Report
from dbproxy.audit.merge_command import MergeCommand, default_backup, run_restore
from dbproxy.config_options import add_config_options, config_of
from dbproxy.errors import ConfigError, DbproxyError
from dbproxy.output import write_line

EXIT_CLEAN = 0
"""Nothing was found, or all of it was repaired."""
EXIT_FINDINGS = 1
EXIT_CONFIG = 2
EXIT_BACKEND = 3

_OUTCOMES = {Outcome.REPAIRED: "repaired", Outcome.GONE: "gone meanwhile"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 clean or all repaired, 1 findings are left, 2 mistake in configuration or command line, 3 a backend failed.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    _check(parser, options)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    try:
        config = config_of(options)
    except ConfigError as error:
        for problem in error.problems:
            write_line(sys.stderr, problem)
        return EXIT_CONFIG
    if options.merge or options.restore:
        if options.restore:
            left, failure = run_restore(config, options.restore, apply=options.apply, as_json=options.json)
        else:
            backup = (options.backup or default_backup()) if options.apply else None
            left, failure = MergeCommand(config, backup=backup, as_json=options.json, examples=options.examples or sys.maxsize).run()
        return _ended(failure, EXIT_FINDINGS if left else EXIT_CLEAN)
    report = Report(examples=options.examples or sys.maxsize)
    failure = ""
    try:
        with open_stores(config) as backends:
            if not options.json:
                write_line(
                    sys.stdout, f"dbproxy-audit {__version__}: {backends.master}{', repairing' if options.repair else ', read-only'}"
                )
            audit(backends, repair=options.repair, report=report, listener=None if options.json else _Terminal(options.repair))
    except ConfigError as error:
        failure = str(error)
    except DbproxyError as error:
        failure = f"the audit is not complete: {error}"
    if options.json:
        write_line(sys.stdout, json.dumps(as_json(report, options.repair, failure), indent=2, ensure_ascii=False))
    elif not failure:
        write_line(sys.stdout, _summary(report, options.repair))
    return _ended(failure, EXIT_FINDINGS if report.left else EXIT_CLEAN)


def _ended(failure: str, exit_code: int) -> int:
    if not failure:
        return exit_code
    write_line(sys.stderr, f"dbproxy-audit: {failure}")
    return EXIT_BACKEND


def as_json(report: Report, repair: bool, failure: str = "") -> dict[str, Any]:
    """Return the report as what ``--json`` prints."""
    return {
        "version": __version__,
        "repair": repair,
        "complete": not failure,
        "error": failure or None,
        "found": report.found,
        "repaired": report.repaired,
        "left": report.left,
        "kinds": {
            kind: {"severity": count.severity.value, "found": count.found, "repaired": count.repaired, "left": count.left}
            for kind, count in sorted(report.counts.items())
        },
        "findings": [
            {
                "kind": entry.finding.kind,
                "severity": entry.finding.severity.value,
                "where": entry.finding.where,
                "what": entry.finding.what,
                "remedy": entry.finding.remedy,
                "repairable": entry.finding.repair is not None,
                "outcome": entry.outcome.value,
                "done": entry.done or None,
            }
            for entry in report.entries
        ],
    }


class _Terminal:
    """Prints progress and findings as text."""

    def __init__(self, repair: bool) -> None:
        self._repair = repair

    def checking(self, title: str) -> None:
        """Do nothing: the line is printed when the check is done."""

    def checked(self, title: str, found: int, seconds: float) -> None:
        """Write one line for a check."""
        result = "ok" if not found else f"{found} finding{'s' if found > 1 else ''}"
        write_line(sys.stdout, f"{title:<16} {result:<14} {seconds:6.1f} s")

    def entry(self, entry: Entry) -> None:
        """Write what was found."""
        finding = entry.finding
        write_line(sys.stdout, f"  [{finding.severity.value}] {finding.kind}: {finding.where}: {finding.what}")
        if entry.outcome is not Outcome.LEFT:
            write_line(sys.stdout, f"      {_OUTCOMES[entry.outcome]}{': ' + entry.done if entry.done else ''}")
        else:
            write_line(sys.stdout, f"      {entry.done or '--repair: ' + finding.remedy}")


def _summary(report: Report, repair: bool) -> str:
    if not report.found:
        return "clean"
    hidden = report.found - len(report.entries)
    more = f" ({hidden} are not shown: --examples 0 shows all)" if hidden else ""
    repaired = f", {report.repaired} repaired, {report.left} left" if repair else ""
    return f"{report.found} finding{'s' if report.found > 1 else ''}{repaired}{more}"


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the process with 2 and a message when options are given that do not go together."""
    if options.apply and not (options.merge or options.restore):
        parser.error("--apply goes with --merge or --restore")
    if options.backup and not (options.merge and options.apply):
        parser.error("--backup goes with --merge --apply: nothing else changes rows that are backed up")
    if options.restore and not (options.restore / backup.FILE).is_file():
        parser.error(f"--restore {options.restore}: there is no {backup.FILE}; expected the directory of a backup of --merge --apply")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-audit",
        description="Checks whether MySQL and Redis of a live installation are consistent with each other and with the proxy's rules. "
        "Proxies may be running meanwhile. Changes nothing without --repair or --apply.",
        epilog="Exit status: 0 clean or all repaired, 1 findings are left, 2 mistake in the configuration, 3 a backend failed.",
    )
    add_config_options(parser)
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--repair", action="store_true", help="repair what can be repaired while proxies are running")
    modes.add_argument(
        "--merge",
        action="store_true",
        help="instead of the audit: merge conversations that are split over several relations, and give new msg_ids where one is given "
        "twice; says only what it would do, and what clients would notice, unless --apply is given",
    )
    modes.add_argument("--restore", metavar="DIR", type=Path, help="instead of the audit: undo a merge with its backup, with --apply")
    parser.add_argument("--apply", action="store_true", help="with --merge or --restore: do it")
    parser.add_argument(
        "--backup",
        metavar="DIR",
        type=Path,
        help="with --merge --apply: where every row is written before it is changed (default: audit-backup-TIME in the working directory)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument(
        "--examples", metavar="N", type=_natural, default=20, help="findings of a kind to show (default: %(default)s; 0: all)"
    )
    version = f"dbproxy-audit {__version__}"
    parser.add_argument("-v", "--version", action="version", version=version, help="print the version and exit")
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0")
    return int(text)
