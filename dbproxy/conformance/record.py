"""Records cases: runs each twice, and writes what happened as the expectation. One thread."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path

from dbproxy.conformance.comparison import Json
from dbproxy.conformance.programs import Program
from dbproxy.conformance.recordings import RECORDED_SITE, RecordingError, with_site
from dbproxy.conformance.replay import Replay
from dbproxy.testing.observe import Fields

ANY = "@any"


def load_cases(path: Path | str) -> list[Fields]:
    """Run a file of cases and return its ``CASES``.

    Raises:
        RecordingError: it cannot be run, or defines no cases.

    """
    try:
        cases = runpy.run_path(str(path)).get("CASES")
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    except Exception as error:
        raise RecordingError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(cases, list) or not cases or not all(isinstance(case, dict) and {"name", "steps"} <= case.keys() for case in cases):
        raise RecordingError(f"{path}: it must define CASES, a list of what dbproxy.conformance.cases.case returns")
    names = [case["name"] for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecordingError(f"{path}: more than one case is called {', '.join(twice)}")
    return cases


def record(program: Program, cases: Sequence[Fields], site: str, timeout: float) -> Iterator[Fields]:
    """Yield each case with what has happened as its expectation. What was not the same the second time may be anything (``@any``).

    Raises:
        RecordingError: the program has died or could not be reached; it names the case.
        StartupError: it does not start.

    """
    for case in cases:
        here = with_site(case, site)
        waits = any("wait_tick" in step for step in case["steps"])
        runs: list[list[Fields]] = []
        for _ in range(2):
            program.prepare(waits_for_sync=waits)
            try:
                runs.append(Replay(program.stack, program.connect, timeout=timeout).run(here))
            except OSError as error:
                raise RecordingError(f"{case['name']}: {program.ended or error}") from None
            if len(runs[-1]) < len(case["steps"]):
                raise RecordingError(f"{case['name']}: step {len(runs[-1]) + 1} could not be done: {program.ended or 'no connection'}")
        expect = [common(first, second) for first, second in zip(*runs, strict=True)]
        yield {**case, "expect": json.loads(json.dumps(expect).replace(site, RECORDED_SITE))}


def common(first: Json, second: Json) -> Json:
    """Return ``first`` with ``@any`` in every place where ``second`` differs."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: common(first[key], second[key]) if key in first and key in second else ANY for key in {**first, **second}}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [common(one, other) for one, other in zip(first, second, strict=True)]
    return first if first == second else ANY
