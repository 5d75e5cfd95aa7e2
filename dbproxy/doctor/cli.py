"""The command dbproxy-doctor, and ``db_proxy_server --check-backends``: command line → exit code."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence

from dbproxy import __version__
from dbproxy.config import Config
from dbproxy.config_options import add_config_options, config_of
from dbproxy.doctor.examination import Options, examine
from dbproxy.doctor.finding import Finding, Level
from dbproxy.errors import ConfigError
from dbproxy.output import write_line

EXIT_OK = 0
EXIT_WARNINGS = 1
EXIT_CONFIG = 2
"""The same as of the daemon, and what argparse uses."""
EXIT_ERRORS = 3
"""The daemon ends with it when a backend cannot be used."""

_WIDTH = 9
"""Columns of the word for the level."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 nothing worse than an information, 1 warnings, 2 mistake in configuration or command line, 3 errors.
    """
    options = _parser().parse_args(argv)
    try:
        config = config_of(options)
    except ConfigError as error:
        for problem in error.problems:
            write_line(sys.stderr, problem)
        return EXIT_CONFIG
    return run(config, as_json=options.json, quiet=options.quiet, upload=not options.no_upload)


def run(config: Config, *, as_json: bool = False, quiet: bool = False, upload: bool = True) -> int:
    """Examine what ``config`` names, print the findings to stdout, and return the exit code.

    ``quiet``: only warnings and errors.
    """
    terminal = None if as_json else _Terminal(quiet)
    log = logging.getLogger("dbproxy")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what the stores have to say is in the findings
    try:
        findings = examine(config, Options(upload=upload), None if terminal is None else terminal.show)
    finally:
        log.setLevel(level)
    if as_json:
        shown = [finding.as_json() for finding in findings if not quiet or finding.level >= Level.WARNING]
        write_line(sys.stdout, json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        write_line(sys.stdout, summary(findings))
    return exit_code(findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code that belongs to findings."""
    worst = max((finding.level for finding in findings), default=Level.OK)
    return {Level.ERROR: EXIT_ERRORS, Level.WARNING: EXIT_WARNINGS}.get(worst, EXIT_OK)


def summary(findings: Sequence[Finding]) -> str:
    """Return one line that counts the findings by their level."""
    counts = Counter(finding.level for finding in findings)
    parts = [
        f"{counts[level]} {name}{'' if counts[level] == 1 else 's'}" for level, name in ((Level.ERROR, "error"), (Level.WARNING, "warning"))
    ]
    return f"{', '.join(parts)}, {counts[Level.INFO]} to know, {counts[Level.OK]} ok"


class _Terminal:
    """Prints findings as text, grouped by their subject, as they are made."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._subject = ""

    def show(self, finding: Finding) -> None:
        """Print a finding."""
        if self._quiet and finding.level < Level.WARNING:
            return
        if finding.subject != self._subject:
            self._subject = finding.subject
            write_line(sys.stdout, finding.subject)
        write_line(sys.stdout, f"  {finding.level.name.lower():<{_WIDTH}}{finding.what}")
        if finding.remedy:
            write_line(sys.stdout, f"  {'':<{_WIDTH}}> {finding.remedy}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-doctor",
        description="Connects to every backend of a configuration and says what would go wrong, and what to do about it. A proxy may be "
        "running meanwhile. It changes nothing but a key of its own in each Redis pool, which is deleted at once, and a file of "
        "256 bytes on "
        "the file server, which stays there (--no-upload leaves it out).",
        epilog="Exit status: 0 nothing worse than an information, 1 warnings, 2 mistake in the configuration or the command line (as of "
        "db_proxy_server), 3 errors. docs/DOCTOR.md explains every finding.",
    )
    add_config_options(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list of findings instead of text")
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.add_argument("--no-upload", action="store_true", help="do not store a file on the file server, only connect to it")
    version = f"dbproxy-doctor {__version__}"
    parser.add_argument("-v", "--version", action="version", version=version, help="print the version and exit")
    return parser
