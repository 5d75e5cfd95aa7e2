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
from devtools.scale import proxies

PROGRAM = "scripts/scale"


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
    options = parser.parse_args(argv)
    return run_command(f"{PROGRAM} {options.command}", options, lambda progress: int(options.measure(options, progress)))


def _proxies(options: argparse.Namespace, progress: Progress) -> int:
    trees = [options.against.resolve(), proxies.THIS] if options.against else [proxies.THIS]
    plan = proxies.Plan(trees, options.workloads, options.counts, options.in_flight, options.rounds, 0.5, options.seconds)
    cells = proxies.run(plan, progress.show)
    progress.end()
    print_parts(proxies.table(cells))
    if options.json is not None:
        report.write_json(options.json, "proxies", {"cells": cells})
    return 0


def _numbers(text: str) -> list[int]:
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers with commas between them are wanted") from error


if __name__ == "__main__":
    sys.exit(main())
