"""Steps of a smoke test: each is run once what it needs has passed, timed, and told to whoever shows it. One thread."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbproxy.errors import DbproxyError
from dbproxy.testing.client import ConnectionClosedError


class StepFailedError(DbproxyError):
    """What a step wanted to see did not happen; the message says what did."""


class UnreachableError(StepFailedError):
    """A server cannot be connected to, so that nothing at all can be tried."""


class Result(enum.Enum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Something that it needs has not passed."""


@dataclass(frozen=True)
class Step:
    """Something to try: ``run`` returns what is worth telling, or raises."""

    name: str
    title: str
    run: Callable[[], str]
    needs: Sequence[str] = ()
    """Names of the steps that must have passed."""
    hint: str = ""
    """What it may mean when no answer comes."""


@dataclass(frozen=True)
class Outcome:
    """What became of a step."""

    step: Step
    result: Result
    detail: str
    """What was found; for a failed step, the reason; for a skipped one, which step it needs."""
    seconds: float
    unreachable: bool = False
    """Whether the step failed because a server cannot be connected to."""


def run_steps(steps: Sequence[Step], tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Run the steps in their order and ``tell`` each outcome at once. KeyboardInterrupt ends it, everything else is an outcome."""
    outcomes: list[Outcome] = []
    passed: set[str] = set()
    for step in steps:
        missing = [name for name in step.needs if name not in passed]
        outcome = Outcome(step, Result.SKIPPED, f"needs: {missing[0]}", 0.0) if missing else _run(step)
        if outcome.result is Result.OK:
            passed.add(step.name)
        outcomes.append(outcome)
        tell(outcome)
    return outcomes


def _run(step: Step) -> Outcome:
    began = time.monotonic()
    try:
        detail, result, unreachable = step.run(), Result.OK, False
    except (DbproxyError, OSError, ValueError) as error:
        detail, result, unreachable = _reason(error, step.hint), Result.FAILED, isinstance(error, UnreachableError)
    return Outcome(step, result, detail, time.monotonic() - began, unreachable)


def _reason(error: Exception, hint: str) -> str:
    if isinstance(error, ConnectionClosedError):
        return f"{error}; the log of msg_server says why"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error) or type(error).__name__
    return f"{text}; {hint}" if hint and isinstance(error, TimeoutError) else text


def until(problem: Callable[[], str], timeout: float, interval: float = 0.05) -> None:
    """Call ``problem`` every ``interval`` seconds until it returns "".

    Raises:
        StepFailedError: after ``timeout`` seconds there is still one; it is the message.

    """
    deadline = time.monotonic() + timeout
    while text := problem():
        if time.monotonic() > deadline:
            raise StepFailedError(f"{text} (for {timeout:g} s)")
        time.sleep(interval)
