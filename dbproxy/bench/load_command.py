"""The command dbproxy-load: puts load on any db_proxy_server, and compares several in turns. Command line → exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dbproxy import __version__
from dbproxy.addresses import split_address
from dbproxy.bench import dataset, report, versus_report
from dbproxy.bench.command_line import names_of, print_parts, run_command
from dbproxy.bench.contestants import Contestant, RunningContestant, StartedContestant, distinct_names
from dbproxy.bench.progress import Progress
from dbproxy.bench.versus import MOST_GENERATORS, VersusPlan, compare
from dbproxy.bench.workloads import WORKLOADS
from dbproxy.errors import StartupError
from dbproxy.option_types import checked, seconds, whole_number
from dbproxy.testing.choice import split_command
from dbproxy.testing.existing import ExistingStack
from dbproxy.testing.stack import Stack

PROGRAM = "dbproxy-load"

CONSENT = "--write-to-it"

DESCRIPTION = """\
Measure how many requests per second a db_proxy_server answers, and compare several in turns: each workload, in each round, by one program
after the other, on the same MariaDB and Redis. Programs are given by --command, in any language, as long as they read dbproxyserver.conf
in their working directory; "dbproxy" is this package's own. A program that runs already is given by --connect with --config."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure with ``argv`` (None: that of the process); return the exit status: 0 done, 1 it failed, 2 a mistake on the command line."""
    parser = _parser()
    options = parser.parse_args(argv)
    if len(options.connect) != len(options.config):
        parser.error("each --connect needs a --config, in the same order")
    if options.connect and not options.consent:
        parser.error(
            f"a program that runs already may be in use: users, groups and messages whose names begin with {dataset.PREFIX!r} would be "
            f"created in its MySQL and Redis, and removed at the end. Add {CONSENT} if that is what you want"
        )
    if options.name and len(options.name) != max(1, len(options.command) + len(options.connect)):
        parser.error("give a --name for each program, first those of --command, then those of --connect, or none")
    return run_command(PROGRAM, options, lambda progress: _measure(options, progress))


def _measure(options: argparse.Namespace, progress: Progress) -> int:
    plan = VersusPlan(
        [WORKLOADS[name] for name in options.workloads or WORKLOADS],
        options.in_flight,
        options.connections,
        options.rounds,
        options.warm,
        options.seconds,
        dataset.Shape(users=options.users, groups=max(1, options.users // 20)),
        options.generators,
    )
    with ExitStack() as exits:
        progress.show("starting")
        contestants = _contestants(options, exits)
        names = [contestant.name for contestant in contestants]
        comparisons = compare(contestants, plan, progress.show)
    progress.end()
    print_parts(versus_report.table(comparisons, names), "\n".join(versus_report.remarks(comparisons)))
    if options.json is not None:
        settings = {"in_flight": plan.in_flight, "connections": plan.connections, "rounds": plan.rounds, "seconds": plan.seconds}
        report.write_json(
            options.json, "versus", {"settings": settings, "programs": names, "comparisons": versus_report.as_json(comparisons)}
        )
    if options.chart is not None:
        versus_report.draw(options.chart, comparisons, names, f"{plan.in_flight} requests in flight, {plan.rounds} rounds in turns")
    answered = all(turn.per_second for comparison in comparisons for turns in comparison.turns.values() for turn in turns)
    return 0 if answered else 1


def _contestants(options: argparse.Namespace, exits: ExitStack) -> list[Contestant]:
    commands: list[str] = options.command or ([] if options.connect else ["dbproxy"])
    overrides = dict(pair.partition("=")[::2] for pair in options.set)
    stack: Stack | None = None
    if commands:
        private = options.mysql is None and options.redis is None
        stack = exits.enter_context(Stack() if private else ExistingStack(options.mysql, options.redis))
    words = [() if command == "dbproxy" else split_command(command) for command in commands]
    default = [*(Path(word[0]).name if word else f"dbproxy {__version__}" for word in words)]
    default += ["{}:{}".format(*address) for address in options.connect]
    names = distinct_names(options.name or default)
    contestants: list[Contestant] = []
    if stack is not None:
        contestants += [StartedContestant(name, stack, word, overrides) for name, word in zip(names, words, strict=False)]
    for name, address, config in zip(names[len(words) :], options.connect, options.config, strict=True):
        if not config.is_file():
            raise StartupError(f"{config}: there is no such file")
        contestants.append(RunningContestant(name, address, config))
    return contestants


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    programs = parser.add_argument_group("programs; the first is what the others are compared with")
    programs.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a program and its arguments, quoted as for a shell; may be repeated",
    )
    programs.add_argument(
        "--connect",
        action="append",
        default=[],
        type=checked(split_address),
        metavar="HOST:PORT",
        help="a program that runs already; may be repeated",
    )
    programs.add_argument("--config", action="append", default=[], type=Path, metavar="FILE", help="its dbproxyserver.conf")
    programs.add_argument(CONSENT, dest="consent", action="store_true", help="with --connect: yes, create data in it and load it")
    programs.add_argument("--name", action="append", default=[], help="what a program is called in the report; for each of them")
    programs.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration for --command")
    programs.add_argument("--mysql", metavar="URL", help="an empty database for --command: mysql://user:password@host:port/database")
    programs.add_argument("--redis", metavar="URL", help="an empty database for --command: redis://[user:password@]host:port/number")
    load = parser.add_argument_group("load")
    load.add_argument("--workloads", type=names_of(WORKLOADS), metavar="NAME,...", help=f"of {', '.join(WORKLOADS)} (default: all)")
    load.add_argument("--in-flight", type=whole_number(1, 20_000), default=64, metavar="N", help="requests at once (default: %(default)s)")
    load.add_argument("--connections", type=whole_number(1, 10_000), default=4, metavar="N", help="over so many (default: %(default)s)")
    load.add_argument("--rounds", type=whole_number(1, 100), default=3, metavar="N", help="turns of each program (default: %(default)s)")
    load.add_argument("--seconds", type=seconds(0, 3600), default=3.0, help="how long each turn is measured (default: %(default)g)")
    load.add_argument("--warm", type=seconds(0, 3600), default=0.5, metavar="SECONDS", help="load before that (default: %(default)g)")
    load.add_argument("--users", type=whole_number(10, 100_000), default=400, metavar="N", help="users in the data (default: %(default)s)")
    load.add_argument(
        "--generators", type=whole_number(0, 64), default=0, metavar="N",
        help=f"processes that send the load (default: as many as are needed, up to {MOST_GENERATORS})",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw a chart (.png, .svg, .pdf; needs matplotlib)")
    return parser
