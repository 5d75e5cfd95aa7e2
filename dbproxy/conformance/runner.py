"""Runs cases against a program and says of each whether it agrees, and exactly where it does not. One thread."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pymysql
import redis
from google.protobuf.message import DecodeError

from dbproxy.conformance.comparison import differences
from dbproxy.conformance.programs import Program
from dbproxy.conformance.recordings import with_site
from dbproxy.conformance.replay import Replay
from dbproxy.errors import StartupError
from dbproxy.testing.observe import Fields

Verdict = Literal["agrees", "differs", "died", "hangs", "not run"]

SETTLE = 1.0
"""Seconds after a run of the group session sync of a program whose interval cannot be set."""

_REPLY = re.compile(r"^/replies\[(\d+)\]/(?:fields/)?")
_ROW = re.compile(r"^/mysql/(\w+)/rows\[(\d+)\]/?")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case."""

    name: str
    topic: str
    profile: str
    verdict: Verdict
    seconds: float
    problems: Sequence[str] = field(default=())
    """Sentences: what differs and where; how the program has died; why the case could not be run."""


class Runner:
    """Runs cases."""

    def __init__(self, program: Program, site: str, timeout: float) -> None:
        """``site``: the address of the file server that the program uses. ``timeout``: seconds after which a reply is missing."""
        self._program = program
        self._site = site
        self._timeout = timeout

    def run(self, cases: Sequence[Fields]) -> Iterator[CaseResult]:
        """Yield the result of each case. After a program has died or hangs it is started again for the next one. One that does not even
        start for the first case is not tried again.
        """
        never_started: list[str] = []
        for number, case in enumerate(cases):
            began = time.monotonic()
            verdict: Verdict = "not run"
            problems = never_started
            if not never_started:
                verdict, problems = self._run(case)
            if verdict == "not run" and number == 0:
                never_started = ["the program does not start; see the first case"]
            yield CaseResult(case["name"], case["topic"], case["profile"], verdict, time.monotonic() - began, tuple(problems))

    def _run(self, case: Fields) -> tuple[Verdict, list[str]]:
        program = self._program
        case = with_site(case, self._site)
        waits = any("wait_tick" in step for step in case["steps"])
        try:
            program.prepare(waits_for_sync=waits)
        except StartupError as error:
            return "not run", [str(error)]
        if not program.always_syncs and not waits:
            case.pop("after_tick", None)
        try:
            settle = SETTLE if program.always_syncs else 0.0
            happened = Replay(program.stack, program.connect, timeout=self._timeout, settle=settle).run(case)
        except (OSError, pymysql.MySQLError, redis.RedisError, ValueError, DecodeError) as error:  # what came may be no PDU at all
            happened = []
            reason = str(error) or type(error).__name__
        else:
            reason = ""
        problems = [problem for number in range(len(happened)) for problem in _problems(case, number, happened[number])]
        if len(happened) < len(case["steps"]):
            problems.append(
                f"step {len(happened) + 1} ({_step_name(case, len(happened))}) could not be done" + (f": {reason}" if reason else "")
            )
        if not problems:
            return "agrees", []
        return self._blame(problems)

    def _blame(self, problems: list[str]) -> tuple[Verdict, list[str]]:
        """Find out whether the program is still there."""
        program = self._program
        if program.ended:
            return "died", [f"the program {program.ended}", *problems]
        if any("no reply" in problem or "could not be done" in problem for problem in problems) and program.hangs:
            program.stop()
            return "hangs", ["the program runs but does not answer any more, on new connections neither", *problems]
        return "differs", problems


def _problems(case: Fields, number: int, happened: Fields) -> list[str]:
    """What is wrong with one step, in sentences that name it."""
    step, expected = f"step {number + 1} ({_step_name(case, number)})", case["expect"][number]
    any_replies = not isinstance(expected["replies"], list)  # ``@any``
    wanted, got = 0 if any_replies else len(expected["replies"]), len(happened["replies"])
    found = []
    if got != wanted and not any_replies:
        closed = ", and the connection was closed" if happened.get("closed") and not expected.get("closed") else ""
        found.append(f"{step}: {'no reply' if not got else f'{got} replies'} instead of {wanted or 'silence'}{closed}")
        pairs = min(wanted, got)
        expected = {**expected, "replies": expected["replies"][:pairs]}
        happened = {**happened, "replies": happened["replies"][:pairs]}
    return found + [f"{step}: {_readable(one, expected, happened)}" for one in differences(expected, happened)]


def _step_name(case: Fields, number: int) -> str:
    step = case["steps"][number]
    return "wait for the group session sync" if "wait_tick" in step else step.get("command", "raw bytes")


def _readable(problem: str, expected: Fields, happened: Fields) -> str:
    """Say where a difference is in words: the reply and its field, the row and its column, the key."""
    path, _, rest = problem.partition(": ")
    reply = _REPLY.match(path)
    if reply:
        return f"reply {int(reply[1]) + 1}, {path[reply.end() :].replace('/', '.')}: {rest}"
    row = _ROW.match(path)
    if row:
        rows = _rows(happened, row[1]) or _rows(expected, row[1])
        index = int(row[2])
        which = f"row {rows[index].get('id')}" if index < len(rows) and isinstance(rows[index], dict) else f"row {index + 1}"
        return f"table {row[1]}, {which}, {path[row.end() :].replace('/', '.') or 'all'}: {rest}"
    if path.startswith("/mysql/"):
        return f"table {path.removeprefix('/mysql/').replace('/', ', ')}: {rest}"
    if path.startswith("/redis/"):
        return f"Redis key {path.removeprefix('/redis/').replace('/', ', field ')}: {rest}"
    return f"{path.lstrip('/').replace('/', '.')}: {rest}"


def _rows(step: Fields, table: str) -> list[Fields]:
    changed = step["mysql"].get(table, {}) if isinstance(step.get("mysql"), dict) else {}
    rows: list[Fields] = changed.get("rows", []) if isinstance(changed, dict) else []
    return rows
