"""``python -m dbproxy.bench``: how many requests per second, what limits it, and how cost grows."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from dbproxy.bench import chart, commands, dataset, growth, report, slap, throughput
from dbproxy.bench.axes import AXES, History
from dbproxy.bench.cost import await_first_sync, cost_of, cost_table, counted_proxy
from dbproxy.bench.progress import Progress
from dbproxy.bench.site import Site, Stores, private_site
from dbproxy.bench.workloads import WORKLOADS
from dbproxy.config import load_config
from dbproxy.errors import DbproxyError
from dbproxy.testing.stack import Stack

LEVELS = (1, 16, 64, 256)
QUICK_LEVELS = (1, 64)

CONSENT = "--write-to-it"

WARNING = f"""\
This measures a proxy that somebody may be using. Nothing that is in its databases is changed, emptied or read, but it will

  - make {{users}} users and {{groups}} groups in its MySQL, whose names begin with "{dataset.PREFIX}", with relations, sessions and
    messages between them, and the counters, members and phones that belong to them in its Redis. As long as it runs they are in the
    list of all users that clients load;
  - make a database dbproxy_bench_N there, if the account may, to see what the server does without a proxy, and drop it;
  - load the proxy, MySQL and Redis as much as they can bear, for about {{seconds:.0f}} seconds: everybody else will wait;
  - remove all of that again at the end (also after Ctrl-C; after a crash: {{program}} --config {{config}} {CONSENT} --remove).
    Gaps in the sequence of ids remain.

Say {CONSENT} if that is what you want."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit status: 0 done, 1 it failed, 2 it was not asked rightly."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress(sys.stderr)
    try:
        if options.chart is not None:
            chart.check(options.chart)
        if options.what == "growth":
            return _growth(options, progress)
        if options.what == "cost":
            return _cost(options, progress)
        return _throughput(options, progress)
    except KeyboardInterrupt:
        progress.end()
        print("stopped", file=sys.stderr)  # noqa: T201 - a command
        return 1
    except (DbproxyError, OSError, TimeoutError) as error:
        progress.end()
        print(f"scripts/bench: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="How many requests per second can this take on my machine, and what limits it? By default with a private MariaDB, "
        "Redis and proxy, which are gone afterwards.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("throughput", "growth", "cost"),
        default="throughput",
        help="growth: how the cost of a request grows with the data; cost: what one request of each command costs, counted",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than a minute")
    parser.add_argument("--workloads", type=_names(WORKLOADS), metavar="NAME,...", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--axes", type=_names(AXES), metavar="NAME,...", help=f"what grows, of {', '.join(AXES)}")
    parser.add_argument("--in-flight", type=_numbers, metavar="N,...", help=f"requests at once (default: {','.join(map(str, LEVELS))})")
    parser.add_argument("--connections", type=int, default=4, help="over so many connections (default: %(default)s)")
    parser.add_argument(
        "--users", type=int, default=400, help="people in the data, each with about 12 conversations (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, help="how long each figure is measured (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw a chart (.png, .svg, .pdf; needs matplotlib)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the private proxy's configuration")
    parser.add_argument("--indexes", type=Path, metavar="FILE", help="SQL for the private database first, such as conf/indexes.sql")
    parser.add_argument("--config", type=Path, help="measure the proxy that runs with this dbproxyserver.conf, and its stores")
    parser.add_argument(CONSENT, dest="consent", action="store_true", help="with --config: yes, make data in it and load it")
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
    if options.config is not None and not options.consent:
        seconds = plan.cells * (plan.warm + plan.seconds)
        program = "scripts/bench"
        print(  # noqa: T201
            WARNING.format(users=plan.shape.users, groups=plan.shape.groups, seconds=seconds, program=program, config=options.config),
            file=sys.stderr,
        )
        return 2
    if options.remove:
        return _remove(options, progress)
    progress.say("starting")
    with _site(options, {}) as site:
        fsync = throughput.time_fsync(site.stack.directory) if site.stack is not None else None
        try:
            cells = throughput.run(site, plan, fsync, progress.say)
            progress.say("MariaDB alone")
            alone = slap.measure_alone(site.config.db_instances["teamtalk_master"], min(2.0, plan.seconds * 1.5))
        finally:
            if site.stack is None:
                progress.say("removing the data")
                dataset.remove(site)
        machine = report.machine(site, fsync)
    progress.end()
    compared = report.compare(report.MariaDBAlone(alone.transactions, alone.selects, alone.reason), cells)
    _print(report.table(cells), report.summary(cells, compared))
    if options.json is not None:
        settings = {"connections": plan.connections, "warm": plan.warm, "seconds": plan.seconds}
        results: dict[str, Any] = {"machine": machine, "settings": settings, "data": plan.shape, "cells": cells, "mariadb_alone": compared}
        report.write_json(options.json, "throughput", results)
    if options.chart is not None:
        chart.draw(options.chart, cells, compared, f"dbproxy on {machine['cores']} cores, {machine['processor']}")
    return 0


def _remove(options: argparse.Namespace, progress: Progress) -> int:
    """Only remove; no proxy need run for that."""
    if options.config is None:
        print("scripts/bench --remove needs --config: private stores leave nothing behind", file=sys.stderr)  # noqa: T201
        return 2
    with Stores(load_config(options.config)) as stores:
        progress.say("removing the data")
        progress.end(f"removed {dataset.remove(stores)} users and groups")
    return 0


def _growth(options: argparse.Namespace, progress: Progress) -> int:
    if options.config is not None:
        print("scripts/bench growth: only private stores are measured; leave --config out", file=sys.stderr)  # noqa: T201
        return 2
    progress.say("starting")
    with _site(options, growth.OVERRIDES) as site:
        await_first_sync(site)
        points = growth.run(site, options.axes or list(AXES), quick=options.quick, requests=20 if options.quick else 100, say=progress.say)
        machine = report.machine(site, None)
    progress.end()
    _print(growth.table(points))
    if options.json is not None:
        report.write_json(options.json, "growth", {"machine": machine, "points": points})
    if options.chart is not None:
        chart.draw_growth(options.chart, points, f"cost against size, dbproxy on {machine['cores']} cores, {machine['processor']}")
    return 0


def _cost(options: argparse.Namespace, progress: Progress) -> int:
    if options.config is not None:
        print("scripts/bench cost: only private stores are measured; leave --config out", file=sys.stderr)  # noqa: T201
        return 2
    progress.say("starting")
    with Stack() as stack, counted_proxy(stack) as (proxy, stores, meter), proxy.client() as client:
        axis = History(stores)
        axis.prepare(dataset.make(stores, dataset.Shape(users=60, friends=2, groups=4, group_size=30)))
        costs = {}
        for name, request in commands.requests(axis.focus).items():
            progress.say(name)
            costs[name] = cost_of(client, meter, request)
    progress.end()
    _print(cost_table(costs))
    if options.json is not None:
        report.write_json(options.json, "cost", {"costs": costs})
    return 0


@contextlib.contextmanager
def _site(options: argparse.Namespace, overrides: Mapping[str, object]) -> Iterator[Site]:
    """The site that was asked for, connected."""
    if options.config is not None:
        with Site(options.config) as site:
            yield site
        return
    settings: dict[str, object] = dict(overrides)
    for pair in options.set:
        key, _, value = pair.partition("=")
        settings[key] = value
    with private_site(settings) as site:
        if options.indexes is not None:
            site.load_sql(options.indexes)
        yield site


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(known)}")
        return [name for name in known if name in chosen]

    return names


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(number) for number in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not 1 <= numbers[0] <= numbers[-1] <= 20_000:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 1 to 20000 with commas between them are wanted")
    return numbers


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _print(*parts: str) -> None:
    print("\n\n".join(parts), flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
