"""``scripts/soak`` (``python -m dbproxy.testing.soak``): command line → exit code."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dbproxy.errors import DbproxyError
from dbproxy.testing.soak.day import Plan, Soak
from dbproxy.testing.stack import Stack


def main(argv: Sequence[str] | None = None) -> int:
    """Run a day and say what came out: 0 every promise was kept, 1 not, 2 mistake on the command line, 3 it could not be run."""
    options = _parser().parse_args(argv)
    plan = Plan(seconds=options.minutes * 60, seed=options.seed or str(random.randrange(1_000_000)))
    directory = Path(tempfile.mkdtemp(prefix="dbproxy-soak-"))
    _say(f"seed {plan.seed}, {options.minutes:g} minutes, in {directory}")
    keep = True
    try:
        with Stack(directory) as stack:
            result = Soak(stack, plan, _say).run()
        keep = options.keep or bool(result.problems)
    except KeyboardInterrupt:
        _say("interrupted")
        return 3
    except (DbproxyError, OSError, TimeoutError, RuntimeError) as error:
        _say(f"the day could not be lived through: {error!r}")
        return 3
    finally:
        if keep:
            _say(f"logs and data are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for note in result.notes:
        _say(f"  {note}")
    for problem in result.problems:
        _say(f"  BROKEN: {problem}")
    again = f"scripts/soak --minutes {options.minutes:g} --seed {plan.seed}"
    _say(f"FAILED: {len(result.problems)} promises broken; again: {again}" if result.problems else "PASSED: every promise was kept")
    return 1 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak", description="A day in ten minutes, against servers of its own; then an audit.")
    parser.add_argument("--minutes", type=float, default=10, help="how long the faults go on (default: %(default)s)")
    parser.add_argument("--seed", help="the chance of an earlier day (default: a new one, which is printed)")
    parser.add_argument("--keep", action="store_true", help="keep logs and data also when all is well")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
