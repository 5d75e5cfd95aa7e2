"""``scripts/soak``: command line → exit status."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dbproxy.errors import DbproxyError
from devtools.soak.runner import Plan, Soak
from devtools.soak.topologies import TOPOLOGIES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the soak test; return 0 no problem was found, 1 problems, 2 mistake on the command line, 3 it could not be run."""
    options = _parser().parse_args(argv)
    plan = Plan(seconds=options.minutes * 60, seed=options.seed or str(random.randrange(1_000_000)))
    topology = TOPOLOGIES[options.topology]
    reason = topology.missing()
    if reason:
        _print(f"the topology {options.topology} cannot be run here: {reason}")
        return 3
    directory = Path(tempfile.mkdtemp(prefix="dbproxy-soak-"))
    _print(f"{options.topology}, seed {plan.seed}, {options.minutes:g} minutes, in {directory}")
    keep = True
    try:
        with topology.make_stack(directory) as stack:
            result = Soak(stack, topology, plan, _print).run()
        keep = options.keep or bool(result.problems)
    except KeyboardInterrupt:
        _print("interrupted")
        return 3
    except (DbproxyError, OSError, TimeoutError, RuntimeError) as error:
        _print(f"the test could not be completed: {error!r}")
        return 3
    finally:
        if keep:
            _print(f"logs and data are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for note in result.notes:
        _print(f"  {note}")
    for problem in result.problems:
        _print(f"  PROBLEM: {problem}")
    again = f"scripts/soak --topology {options.topology} --minutes {options.minutes:g} --seed {plan.seed}"
    _print(f"FAILED: {len(result.problems)} problems; again: {again}" if result.problems else "PASSED")
    return 1 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description="Load, faults and abusive clients at random, with private servers; then a check of all data."
    )
    parser.add_argument("--topology", choices=TOPOLOGIES, default="stock", help="which servers there are (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults are injected (default: %(default)s)")
    parser.add_argument("--seed", help="repeats the faults of an earlier run (default: a new seed, which is printed)")
    parser.add_argument("--keep", action="store_true", help="keep logs and data also when it passes")
    return parser


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
