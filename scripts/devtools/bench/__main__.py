"""``scripts/bench``: the throughput benchmark (``dbproxy.bench``), and the two measurements ``growth`` and ``cost``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dbproxy.bench import __main__ as throughput_command
from dbproxy.bench import dataset, report
from dbproxy.bench.command_line import add_common_options, names_of, open_private_site, print_parts, run_command
from dbproxy.bench.progress import Progress
from dbproxy.bench.requests import REQUESTS
from dbproxy.testing.stack import Stack
from devtools.bench import growth, growth_chart
from devtools.bench.axes import AXES, History
from devtools.bench.cost import await_first_sync, cost_of, cost_table, counted_proxy

PROGRAM = "scripts/bench"

COMMANDS = {
    "growth": "how the cost of a request grows with the data",
    "cost": "what one request of each command costs, counted and not timed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return the exit status: 0 done, 1 it failed, 2 a mistake on the command line."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] not in COMMANDS:
        others = "; ".join(f"{PROGRAM} {name}: {what}" for name, what in COMMANDS.items())
        return throughput_command.main(arguments, f"Other measurements: {others}.")
    command, *rest = arguments
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {command}", description=f"Measures {COMMANDS[command]}, with private backends.")
    if command == "growth":
        add_common_options(parser)
        parser.add_argument("--axes", type=names_of(AXES), metavar="NAME,...", help=f"what grows, of {', '.join(AXES)}")
    else:
        parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
        parser.set_defaults(chart=None)
    options = parser.parse_args(rest)
    return run_command(parser.prog, options, lambda progress: (_growth if command == "growth" else _cost)(options, progress))


def _growth(options: argparse.Namespace, progress: Progress) -> int:
    progress.show("starting")
    with open_private_site(options, growth.OVERRIDES) as site:
        await_first_sync(site)
        points = growth.run(
            site, options.axes or list(AXES), quick=options.quick, requests=20 if options.quick else 100, show=progress.show
        )
        machine = report.machine(site, None)
    progress.end()
    print_parts(growth.table(points))
    if options.json is not None:
        report.write_json(options.json, "growth", {"machine": machine, "points": points})
    if options.chart is not None:
        growth_chart.draw(options.chart, points, f"cost against size, dbproxy on {machine['cores']} cores, {machine['processor']}")
    return 0


def _cost(options: argparse.Namespace, progress: Progress) -> int:
    progress.show("starting")
    with Stack() as stack, counted_proxy(stack) as (proxy, backends, meter), proxy.client() as client:
        axis = History(backends)
        axis.prepare(dataset.make(backends, dataset.Shape(users=60, friends=2, groups=4, group_size=30)))
        costs = {}
        for name, build in REQUESTS.items():
            progress.show(name)
            costs[name] = cost_of(client, meter, build(axis.subject))
    progress.end()
    print_parts(cost_table(costs))
    if options.json is not None:
        report.write_json(options.json, "cost", {"costs": costs})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
