"""``python -m dbproxy.bench``: how many requests per second a proxy takes, and what limits it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbproxy.backends import Backends
from dbproxy.bench import chart, dataset, report, slap, throughput
from dbproxy.bench.command_line import PROGRAM, add_common_options, names_of, open_private_site, print_parts, run_command
from dbproxy.bench.progress import Progress
from dbproxy.bench.site import Site
from dbproxy.bench.workloads import WORKLOADS
from dbproxy.config import load_config

LEVELS = (1, 16, 64, 256)
QUICK_LEVELS = (1, 64)

CONSENT = "--write-to-it"

WARNING = f"""\
This measures a proxy that may be in use. No existing data in its databases is changed, deleted or read, but it will

  - create {{users}} users and {{groups}} groups in its MySQL, whose names begin with "{dataset.PREFIX}", with relations, sessions and
    messages between them, and their counters, members and device tokens in its Redis. While it runs they are in the list of all users
    that clients load;
  - create a database dbproxy_bench_N there, if the account may, to measure the server without a proxy, and drop it;
  - put as much load as possible on the proxy, MySQL and Redis for about {{seconds:.0f}} seconds: everybody else will wait;
  - remove all of that again at the end (also after Ctrl-C; after a crash: {{program}} --config {{config}} --remove).
    Gaps in the sequence of ids remain.

Add {CONSENT} if that is what you want."""


def main(argv: Sequence[str] | None = None, epilog: str = "") -> int:
    """Measure; return the exit status: 0 done, 1 it failed, 2 a mistake on the command line. ``epilog`` is the end of the help."""
    options = _parser(epilog).parse_args(argv)
    return run_command(PROGRAM, options, lambda progress: _throughput(options, progress))


def _parser(epilog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Measures how many requests per second a proxy takes on this machine, and what limits it. By default with a private "
        "MariaDB, Redis and proxy, which are removed afterwards.",
        epilog=epilog,
    )
    add_common_options(parser)
    parser.add_argument("--workloads", type=names_of(WORKLOADS), metavar="NAME,...", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--in-flight", type=_numbers, metavar="N,...", help=f"requests at once (default: {','.join(map(str, LEVELS))})")
    parser.add_argument("--connections", type=int, default=4, help="over so many connections (default: %(default)s)")
    parser.add_argument("--users", type=int, default=400, help="users in the data, each with about 12 conversations (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="how long each figure is measured (default: 3)")
    parser.add_argument("--config", type=Path, help="measure the running proxy with this dbproxyserver.conf, and its backends")
    parser.add_argument(CONSENT, dest="consent", action="store_true", help="with --config: yes, create data in it and load it")
    parser.add_argument("--remove", action="store_true", help="with --config: only remove what a measurement that crashed has left")
    return parser


def _throughput(options: argparse.Namespace, progress: Progress) -> int:
    quick = options.quick
    plan = throughput.Plan(
        [WORKLOADS[name] for name in options.workloads or WORKLOADS],
        options.in_flight or (QUICK_LEVELS if quick else LEVELS),
        options.connections,
        0.2 if quick else 0.5,
        options.seconds or (0.7 if quick else 3.0),
        dataset.Shape(users=options.users, groups=max(1, options.users // 20)),
    )
    if options.remove:
        return _remove(options, progress)
    if options.config is not None and not options.consent:
        seconds = plan.cells * (plan.warm + plan.seconds)
        print(  # noqa: T201
            WARNING.format(users=plan.shape.users, groups=plan.shape.groups, seconds=seconds, program=PROGRAM, config=options.config),
            file=sys.stderr,
        )
        return 2
    progress.show("starting")
    with Site(options.config) if options.config is not None else open_private_site(options, {}) as site:
        fsync = throughput.time_fsync(site.stack.directory) if site.stack is not None else None
        try:
            cells = throughput.run(site, plan, fsync, progress.show)
            progress.show("MariaDB alone")
            database = dataclasses.replace(site.config.db_instances["teamtalk_master"], hosts=(site.master.address,))
            alone = slap.measure_alone(database, min(2.0, plan.seconds * 1.5))
        finally:
            if site.stack is None:
                progress.show("removing the data")
                dataset.remove(site)
        machine = report.machine(site, fsync)
    progress.end()
    compared = report.compare(report.MariaDBAlone(alone.transactions, alone.selects, alone.reason), cells)
    print_parts(report.table(cells), report.summary(cells, compared))
    if options.json is not None:
        settings = {"connections": plan.connections, "warm": plan.warm, "seconds": plan.seconds}
        results: dict[str, Any] = {"machine": machine, "settings": settings, "data": plan.shape, "cells": cells, "mariadb_alone": compared}
        report.write_json(options.json, "throughput", results)
    if options.chart is not None:
        chart.draw(options.chart, cells, compared, f"dbproxy on {machine['cores']} cores, {machine['processor']}")
    return 0


def _remove(options: argparse.Namespace, progress: Progress) -> int:
    """Only remove the data of a measurement; the proxy need not be running."""
    if options.config is None:
        print(f"{PROGRAM}: --remove needs --config; private backends leave nothing behind", file=sys.stderr)  # noqa: T201
        return 2
    with Backends(load_config(options.config)) as backends:
        progress.show("removing the data")
        progress.end(f"removed {dataset.remove(backends)} users and groups")
    return 0


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(number) for number in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not 1 <= numbers[0] <= numbers[-1] <= 20_000:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 1 to 20000 with commas between them are wanted")
    return numbers


if __name__ == "__main__":
    raise SystemExit(main())
