"""``scripts/mutate``: mutation testing with cosmic-ray. It changes the daemon's code in one place at a time and runs the tests each time.

A mutant that no test notices *survives*: it changes nothing that can be seen, or a test is missing. It works on a copy of the checkout in
``build/mutate/``, so that the checkout is not changed. Every mutant runs all chosen tests until one fails, which takes minutes for a
survivor, so usually a random sample is enough. An interrupted run is continued with ``--resume``.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.operators.operator import Operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult
from parso.python.tree import Keyword

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutate"

PACKAGES = ("models", "handlers", "work", "net", "stores")
"""The packages of the daemon that are mutated unless files are named."""

TESTS = ("tests/unit", "tests/conformance", "tests/integration")

TIMEOUT = 900.0
"""Seconds after which the tests of one mutant are ended; it counts as caught."""

EXCLUDED = ("core/ReplaceBinaryOperator_BitOr_", "core/VariableInserter", "core/VariableReplacer")
"""Operators that are not used: ``|`` is nearly always in a type hint, which is not evaluated; the others need parameters."""


class RemoveStatement(Operator):  # type: ignore[misc] # cosmic-ray has no type hints
    """Replaces a statement that is a call (but not of a logger) or an assignment to an attribute with ``pass``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:  # noqa: ANN401 - a node of parso
        """Yield the position of the statement, if ``node`` is one that is removed."""
        if node.parent is None or node.parent.type != "simple_stmt":
            return
        code = node.get_code(include_prefix=False)
        is_call = node.type in ("atom_expr", "power") and code.endswith(")") and not code.startswith(("logger.", "logging."))
        is_assignment = node.type == "expr_stmt" and "." in node.children[0].get_code() and len(node.children) == 3
        if is_call or is_assignment:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Keyword:  # noqa: ANN401
        """Return ``pass``."""
        del index
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return no examples."""
        return ()


cosmic_ray.plugins.OPERATOR_PROVIDERS["devtools"] = {"RemoveStatement": RemoveStatement}


def main(argv: Sequence[str] | None = None) -> int:
    """Run mutation tests; return 0 when it is complete, whatever survived, 1 when the tests fail without any mutation."""
    options = _parser().parse_args(argv)
    tree, session = WORK / "tree", WORK / "session.sqlite"
    command = shlex.join([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *options.tests.split(",")])
    os.environ.pop("PYTHONPATH", None)  # it names the scripts of the checkout, and the tests need those of the copy
    if not options.resume:
        shutil.rmtree(WORK, ignore_errors=True)
        _copy_checkout(tree)
    os.chdir(tree)
    with use_db(str(session), WorkDB.Mode.create) as database:
        if not options.resume:
            init(_modules(options.files), database, {})
            _sample(database, options.sample, options.seed)
            print("running the tests without a mutation ...", flush=True)
            outcome, output = run_tests(command, options.timeout)
            if outcome is not TestOutcome.SURVIVED:
                print(f"{output}\nthe tests fail without a mutation", file=sys.stderr)
                return 1
        pending = database.pending_work_items
        for number, item in enumerate(pending, start=1):
            result = mutate_and_test(item.mutations, command, options.timeout)
            database.set_result(item.job_id, result)
            (mutation,) = item.mutations
            caught = "caught" if result.is_killed else "SURVIVED"
            where = f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}"
            print(f"{number} of {len(pending)}: {caught} {where}", flush=True)
        print(_summary(database))
    return 0


def _copy_checkout(target: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def _modules(files: Sequence[str]) -> list[Path]:
    """Return the modules to mutate, relative to the checkout."""
    if files:
        return [(ROOT / file).relative_to(ROOT) for file in files]
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / "dbproxy" / package).rglob("*.py"))


def _sample(database: WorkDB, count: int, seed: str) -> None:
    """Skip excluded operators and, if ``count`` is not 0, all but ``count`` random mutants."""
    items = sorted(database.work_items, key=lambda item: (str(item.mutations[0].module_path), item.mutations[0].start_pos, _operator(item)))
    usable = [item for item in items if not _operator(item).startswith(EXCLUDED)]
    chosen = random.Random(seed).sample(usable, min(count or len(usable), len(usable)))
    kept = {item.job_id for item in chosen}
    skipped = [item.job_id for item in items if item.job_id not in kept]
    database.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    print(f"{len(items)} mutants, {len(usable)} of them useful, {len(kept)} chosen", flush=True)


def _operator(item: Any) -> str:  # noqa: ANN401 - a WorkItem of cosmic-ray
    return str(item.mutations[0].operator_name)


def _summary(database: WorkDB) -> str:
    done = [(item, result) for item, result in database.completed_work_items if result.worker_outcome is not WorkerOutcome.SKIPPED]
    lines = [result.diff for _, result in done if not result.is_killed]
    caught, total = _count(done, caught=True), _count(done)
    lines += [f"{path}: {caught[path]} of {total[path]} caught" for path in sorted(total)]
    lines.append(f"{sum(caught.values())} of {sum(total.values())} mutants caught; the others are shown above")
    return "\n".join(lines)


def _count(done: Iterable[tuple[Any, Any]], *, caught: bool = False) -> Counter[str]:
    return Counter(str(item.mutations[0].module_path) for item, result in done if result.is_killed or not caught)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description="Shows the changes of the daemon that no test notices.")
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"files to mutate (default: all of dbproxy/{{{','.join(PACKAGES)}}})")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only N random mutants (default: all)")
    parser.add_argument("--seed", default="1", help="chooses the sample (default: %(default)s)")
    parser.add_argument("--tests", metavar="PATH,...", default=",".join(TESTS), help="the tests to run (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds for the tests of one mutant (default: %(default)g)")
    parser.add_argument("--resume", action="store_true", help="continue the run that was interrupted, with its files and sample")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
