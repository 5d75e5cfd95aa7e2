"""How a smoke test is shown: a line for each step, or one JSON object at the end. One thread."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from dbproxy.addresses import shown_address
from dbproxy.smoke.plan import Plan
from dbproxy.smoke.steps import Outcome, Result

_WORDS = {Result.OK: "OK", Result.FAILED: "FAILED", Result.SKIPPED: "skipped"}


def heading(plan: Plan) -> str:
    """Return what is said before anything is done: where, as whom, and what will be written."""
    where = plan.login_url if plan.msg_server is None else shown_address(*plan.msg_server)
    users = f"user {plan.user.name}" + ("" if plan.peer is None else f", peer {plan.peer.name}")
    return "\n".join([f"{where}, {users}", *(f"writes: {text}" for text in plan.writes())])


def line(outcome: Outcome) -> str:
    """Return the line of a step."""
    took = "" if outcome.result is Result.SKIPPED else f"{outcome.seconds * 1000:.1f} ms"
    text = outcome.step.title + (f": {outcome.detail}" if outcome.detail else "")
    return f"{_WORDS[outcome.result]:<7} {took:>11}  {text}"


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return the last line."""
    counts = Counter(outcome.result for outcome in outcomes)
    parts = [f"{counts[Result.OK]} of {len(outcomes)} steps OK"]
    parts += [f"{counts[result]} {result.value}" for result in (Result.FAILED, Result.SKIPPED) if counts[result]]
    return ", ".join(parts) + f" ({seconds:.1f} s)"


def as_json(plan: Plan, outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return all of it as a JSON object of one line; times are in seconds. There are no passwords in it."""
    steps = [
        {
            "step": outcome.step.name,
            "title": outcome.step.title,
            "result": outcome.result.value,
            "seconds": round(outcome.seconds, 6),
            "detail": outcome.detail,
        }
        for outcome in outcomes
    ]
    return json.dumps(
        {
            "ok": all(outcome.result is Result.OK for outcome in outcomes),
            "login": plan.login_url or None,
            "msg_server": None if plan.msg_server is None else shown_address(*plan.msg_server),
            "user": plan.user.name,
            "peer": None if plan.peer is None else plan.peer.name,
            "writes": plan.writes(),
            "seconds": round(seconds, 6),
            "steps": steps,
        },
        ensure_ascii=False,
    )
