"""The command dbproxy-conformance: command line → exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dbproxy import __version__
from dbproxy.addresses import split_address
from dbproxy.config import load_config
from dbproxy.conformance.programs import Program, RunningProgram, StartedProgram
from dbproxy.conformance.record import load_cases, record
from dbproxy.conformance.recordings import BETTER, ORIGINAL, PROFILES, RecordingError, chosen, read_cases, recorded
from dbproxy.conformance.report import AGREES, as_json, as_junit, case_lines, table
from dbproxy.conformance.runner import CaseResult, Runner
from dbproxy.errors import ConfigError, StartupError
from dbproxy.option_types import checked, seconds
from dbproxy.output import write_line
from dbproxy.testing.choice import split_command
from dbproxy.testing.existing import ConfiguredStack, ExistingStack
from dbproxy.testing.file_server import FileServer
from dbproxy.testing.stack import Stack

EXIT_OK = 0
EXIT_DIFFERENT = 1
EXIT_USAGE = 2
EXIT_FAILED = 3

DESCRIPTION = """\
Replay recorded exchanges with the original db_proxy_server against another program, in whatever language it is written, and list every
difference: each reply field by field, and every row and key that it changes. The program is started with a dbproxyserver.conf in its
working directory, on a private MariaDB and Redis (or those of --mysql and --redis); or, with --connect, it runs already.
"dbproxy-conformance record --help" tells how to record cases of one's own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 every case agrees (or is recorded), 1 some do not, 2 mistake in the command line, 3 a server, a file or the program cannot be used.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    recording = words[:1] == ["record"]
    parser = _record_parser() if recording else _parser()
    options = parser.parse_args(words[1:] if recording else words)
    try:
        if recording:
            return _record(options)
        cases = chosen([*recorded(options.profile), *(case for path in options.cases for case in read_cases(path))], options.only)
        if options.list:
            for case in cases:
                write_line(sys.stdout, f"{case['profile']:10} {case['topic']:15} {case['name']}")
            return EXIT_OK
        if not cases:
            parser.error("--only fits no case; --list shows them")
        return _replay(options, cases)
    except (RecordingError, StartupError, OSError) as error:
        write_line(sys.stderr, f"dbproxy-conformance: {error}")
    except ConfigError as error:
        for problem in error.problems:
            write_line(sys.stderr, problem)
        return EXIT_USAGE
    except KeyboardInterrupt:
        write_line(sys.stderr, "interrupted")
    return EXIT_FAILED


def _replay(options: argparse.Namespace, cases: Sequence[dict[str, Any]]) -> int:
    results: list[CaseResult] = []
    with ExitStack() as exits:
        program, site = _program(options, exits)
        for result in Runner(program, site, options.timeout).run(cases):
            results.append(result)
            if result.verdict != AGREES or not options.quiet:
                for line in case_lines(result, len(results), len(cases), verbose=options.verbose):
                    write_line(sys.stdout, line)
        capabilities = program.capabilities if isinstance(program, StartedProgram) else None
    for line in ["", *table(results)]:
        write_line(sys.stdout, line)
    name = options.command or (options.connect and "{}:{}".format(*options.connect)) or f"dbproxy {__version__}"
    if options.json is not None:
        Path(options.json).write_text(as_json(results, name, capabilities) + "\n", encoding="utf-8")
    if options.junit is not None:
        Path(options.junit).write_text(as_junit(results, name), encoding="utf-8")
    if all(result.verdict == "not run" for result in results):
        return EXIT_FAILED
    return EXIT_OK if all(result.verdict == AGREES for result in results) else EXIT_DIFFERENT


def _record(options: argparse.Namespace) -> int:
    cases = load_cases(options.cases)
    made = []
    with ExitStack() as exits:
        program, site = _program(options, exits)
        for case in record(program, cases, site, options.timeout):
            made.append(json.dumps(case, ensure_ascii=False))
            write_line(sys.stderr, f"[{len(made)}/{len(cases)}] {case['name']}: {len(case['steps'])} steps")
    text = "[\n" + ",\n".join(made) + "\n]\n"
    if options.output is None:
        sys.stdout.write(text)
    else:
        Path(options.output).write_text(text, encoding="utf-8")
    return EXIT_OK


def _program(options: argparse.Namespace, exits: ExitStack) -> tuple[Program, str]:
    """The program on a stack that is started, and the address of the file server that it uses."""
    if options.connect is not None:
        config = load_config(options.config)
        where = config.msfs_site.removeprefix("http://").removesuffix("/")
        host, port = split_address(where if ":" in where else f"{where}:80")
        if host not in ("127.0.0.1", "localhost"):
            raise StartupError(f"MsfsSite={config.msfs_site}: it must be a port of 127.0.0.1 on which nobody listens, for a replacement")
        site = exits.enter_context(FileServer(port)).site
        stack: Stack = exits.enter_context(ConfiguredStack(config))
        return exits.enter_context(RunningProgram(stack, *options.connect)), site
    stack = Stack() if options.mysql is None and options.redis is None else ExistingStack(options.mysql, options.redis)
    site = exits.enter_context(FileServer()).site
    return exits.enter_context(StartedProgram(exits.enter_context(stack), split_command(options.command or ""), site)), site


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dbproxy-conformance", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dbproxy-conformance {__version__}")
    _add_program_options(parser)
    profiles = "; ".join(f"{name}: {about}" for name, about in PROFILES.items())
    parser.add_argument(
        "--profile",
        choices=list(PROFILES),
        default=ORIGINAL,
        help=f"what the program is held to ({profiles}); {BETTER} includes {ORIGINAL}",
    )
    parser.add_argument("--cases", action="append", default=[], metavar="FILE", help="a recording of one's own, too; may be repeated")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="only cases whose name or topic contains this; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument("--quiet", action="store_true", help="print only the cases that do not agree, and the table")
    parser.add_argument("--verbose", action="store_true", help="print all problems of a case")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write the report as JUnit's XML")
    return parser


def _record_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-conformance record",
        description="Run cases twice against a program and write what it answers and stores as a recording, for --cases. What differs "
        "between the two runs may be anything later.",
    )
    parser.add_argument("cases", help="a Python file that defines CASES; see dbproxy.conformance.cases")
    parser.add_argument("--output", metavar="FILE", help="where to write (otherwise to standard output)")
    _add_program_options(parser)
    return parser


def _add_program_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--command", metavar="COMMAND", help="the program and its arguments, quoted as for a shell (otherwise dbproxy itself)"
    )
    which.add_argument("--connect", type=checked(split_address), metavar="HOST:PORT", help="a program that runs already; with --config")
    parser.add_argument("--config", default="dbproxyserver.conf", metavar="FILE", help="the configuration of that program (%(default)s)")
    parser.add_argument("--mysql", metavar="URL", help="an empty database for the tests: mysql://user:password@host:port/database")
    parser.add_argument("--redis", metavar="URL", help="an empty database for the tests: redis://[user:password@]host:port/number")
    parser.add_argument("--timeout", type=seconds(0.1, 3600), default=5.0, metavar="SECONDS", help="for each reply (%(default)g)")
