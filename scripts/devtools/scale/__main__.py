"""``scripts/scale``: measurements of several proxies and of large databases, and the arithmetic of large installations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dbproxy.bench import report
from dbproxy.bench.command_line import names_of, print_parts, run_command
from dbproxy.bench.progress import Progress
from dbproxy.bench.workloads import WORKLOADS
from devtools.bench.cost import QUIET
from devtools.scale import arithmetic, extremes, installations, proxies, simulation, workload_growth
from devtools.scale.population import POPULATIONS

PROGRAM = "scripts/scale"

ASSUMPTIONS = {
    "messages": "messages of a registered user in a day",
    "group_share": "of these to groups",
    "group_size": "members of a group",
    "logins": "logins of a registered user in a day",
    "peak": "the busiest second against the average",
    "online": "share of users who read a group message while it is new",
    "conversations": "conversations of a user with others",
    "memberships": "groups that a user is in",
    "days_kept": "days for which messages are kept",
    "utilisation": "how much of its cores a server uses in the busiest second",
}
"""Field of ``arithmetic.Assumptions`` → what it means."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return the exit status: 0 done, 1 it failed, 2 a mistake on the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Measures several proxies on one database, and large databases.")
    commands = parser.add_subparsers(dest="command", required=True)
    several = commands.add_parser("proxies", help="throughput through one, two and four proxies on one database")
    several.add_argument("--workloads", type=names_of(WORKLOADS), default=["single", "group"], metavar="NAME,...")
    several.add_argument("--counts", type=_numbers, default=[1, 2, 4], metavar="N,...", help="numbers of proxies (default: 1,2,4)")
    several.add_argument("--in-flight", type=_numbers, default=[64, 256], metavar="N,...", help="requests at once over all of them")
    several.add_argument("--rounds", type=int, default=3, help="how often everything is measured, in turns (default: %(default)s)")
    several.add_argument("--seconds", type=float, default=2.0, help="how long each figure is measured (default: %(default)s)")
    several.add_argument("--against", type=Path, metavar="DIR", help="measure the proxies of another checkout in turns with these")
    several.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    several.set_defaults(measure=_proxies, chart=None)
    growth = commands.add_parser("growth", help="all workloads with 10 thousand, 1 million and 10 million messages, in turns")
    _add_directory(growth)
    growth.add_argument(
        "--populations", type=names_of(POPULATIONS), default=list(POPULATIONS), metavar="NAME,...", help=f"of {', '.join(POPULATIONS)}"
    )
    growth.add_argument("--workloads", type=names_of(WORKLOADS), default=list(WORKLOADS), metavar="NAME,...")
    growth.add_argument("--in-flight", type=_numbers, default=[1, 64], metavar="N,...")
    growth.add_argument("--rounds", type=int, default=3, help="how often everything is measured, in turns (default: %(default)s)")
    growth.add_argument("--seconds", type=float, default=1.5, help="how long each figure is measured (default: %(default)s)")
    growth.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    growth.set_defaults(measure=_growth, chart=None)
    large = commands.add_parser("extremes", help="large groups, users with many sessions, long histories, the audit, the caches")
    _add_directory(large)
    large.add_argument("--population", choices=list(POPULATIONS), default="large", help="of which it is part (default: %(default)s)")
    large.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    large.set_defaults(measure=_extremes, chart=None)
    paper = commands.add_parser("arithmetic", help="what installations of up to 100 million users need, from measured costs")
    for name, what in ASSUMPTIONS.items():
        default = getattr(arithmetic.Assumptions(), name)
        paper.add_argument(f"--{name.replace('_', '-')}", type=float, default=default, metavar="N", help=f"{what} (default: {default:g})")
    paper.set_defaults(measure=_arithmetic, chart=None)
    commands.add_parser("simulation", help="the same load through more and more proxies").set_defaults(measure=_simulation, chart=None)
    options = parser.parse_args(argv)
    return run_command(f"{PROGRAM} {options.command}", options, lambda progress: int(options.measure(options, progress)))


def _proxies(options: argparse.Namespace, progress: Progress) -> int:
    trees = [options.against.resolve(), proxies.THIS] if options.against else [proxies.THIS]
    plan = proxies.Plan(trees, options.workloads, options.counts, options.in_flight, options.rounds, 0.5, options.seconds)
    cells = proxies.run(plan, progress.show)
    progress.end()
    print_parts(*filter(None, (proxies.table(cells), proxies.batch_costs(cells))))
    if options.json is not None:
        report.write_json(options.json, "proxies", {"cells": cells})
    return 0


def _growth(options: argparse.Namespace, progress: Progress) -> int:
    plan = workload_growth.Plan(
        options.directory, options.populations, options.workloads, options.in_flight, options.rounds, 0.3, options.seconds
    )
    sizes, cells = workload_growth.run(plan, progress.show)
    progress.end()
    print_parts(workload_growth.sizes_table(sizes), *([workload_growth.table(cells)] if cells else []))
    if options.json is not None:
        report.write_json(options.json, "growth of an installation", {"sizes": sizes, "cells": cells})
    return 0


def _extremes(options: argparse.Namespace, progress: Progress) -> int:
    with installations.running(options.directory, options.population, progress.show, {"SyncInterval": QUIET}) as installation:
        lines = extremes.run(installation, progress.show)
        progress.show("memory")
        memory = extremes.memory_of_caches(installation, {"50,000 conversations": 50_000, "250,000 conversations": 250_000})
        progress.show("audit")
        seconds, found = extremes.audit_seconds(installation)
    progress.end()
    texts = [f"the proxy's memory: {', '.join(f'{name} {size:.0f} MiB' for name, size in memory.items())}"]
    texts.append(f"audit of {options.population}: {seconds:.0f} s, {found} findings")
    print_parts(extremes.table(lines), *texts)
    if options.json is not None:
        report.write_json(options.json, "extremes", {"lines": lines, "memory": memory, "audit_seconds": seconds})
    return 0


def _arithmetic(options: argparse.Namespace, progress: Progress) -> int:
    progress.end()
    people = arithmetic.Assumptions(**{name: getattr(options, name) for name in ASSUMPTIONS})
    print_parts(arithmetic.table(people, (1e4, 1e6, 1e7, 1e8)), arithmetic.limits_table(people))
    return 0


def _simulation(options: argparse.Namespace, progress: Progress) -> int:
    del options
    progress.end()
    print_parts(simulation.table())
    return 0


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("/tmp/dbproxy-scale"),
        metavar="DIR",
        help="where the data is, created when it is missing (6 GB for all sizes) and kept until you remove it (default: %(default)s)",
    )


def _numbers(text: str) -> list[int]:
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers with commas between them are wanted") from error


if __name__ == "__main__":
    sys.exit(main())
