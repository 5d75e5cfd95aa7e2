"""Lanes: where requests wait, and how they are cut into runs.

A *lane* holds requests that are answered alike (those of one command, the sounds, half of the messages). A *run* is whatever waits in
a lane when a worker comes, up to a limit: under load several requests are answered with one round trip, and an idle system has runs
of one. Three rules keep that fair:

- a lane stands in the ready queue at most once, so that the commands take turns whatever the number of their requests;
- only few runs are *fresh* (younger than ``STALE_AFTER``) at a time: more threads than that would only fight for the interpreter.
  A run that is older waits for a backend, so it no longer counts and nothing has to wait behind it;
- requests with the same *order key* (the messages of one conversation) start in the order of their arrival, and never while an
  earlier one is being worked on, whatever lanes they are in.

Nothing here locks or blocks: ThreadPool calls it under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from dbproxy.work.proxy_task import ProxyTask

STALE_AFTER = 0.05
"""Seconds after which a run is taken to be waiting for a backend rather than computing."""

PORTION, SMALLEST_PORTION = 3, 16
"""A run of a lane with long answers takes the third part of what waits in it, or 16 requests if that is more."""


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How one lane is worked off.

    ``parallel`` bounds its fresh runs. In a ``slow`` lane (requests to the file server) it bounds all of its runs, and in exchange
    they do not count against the bound of all lanes together. ``twin`` names a lane whose requests are answered by the same handler:
    while other lanes wait too, a run takes from both, because one long run costs less; while nothing else waits, each has runs of its
    own, side by side. ``long_answers``: most of the work is making the answers, so runs take only a portion of what waits, and the
    database reads for one while another makes answers.
    """

    run_limit: int
    parallel: int
    slow: bool = False
    twin: str = ""
    long_answers: bool = False

    def limit(self, waiting: int) -> int:
        """How many of so many waiting requests a run takes."""
        if not self.long_answers:
            return self.run_limit
        return min(self.run_limit, max(SMALLEST_PORTION, waiting // PORTION))


class OrderedTasks:
    """The waiting tasks of one order key; it stands in a lane like a single task, and in none while one of its tasks is at work."""

    __slots__ = ("key", "tasks")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.tasks: deque[ProxyTask] = deque()


class Lane:
    """One lane: what waits in it and how many of its runs are at work."""

    __slots__ = ("entries", "is_ready", "settings")

    def __init__(self, settings: LaneSettings) -> None:
        self.settings = settings
        self.entries: deque[ProxyTask | OrderedTasks] = deque()
        self.is_ready = False


@dataclass(slots=True, eq=False)
class Run:
    """Tasks that one worker answers in one go; all of the same lane (or of twins), in the order of their arrival."""

    lanes: list[Lane]
    started_at: float
    tasks: list[ProxyTask] = field(default_factory=list)
    ordered: list[OrderedTasks] = field(default_factory=list)

    @property
    def slow(self) -> bool:
        """Whether it waits for the file server."""
        return self.lanes[0].settings.slow


class Lanes:
    """All lanes, the ready queue and the runs at work."""

    def __init__(self, settings: Mapping[str, LaneSettings], default: LaneSettings, active_runs: int) -> None:
        self._settings = settings
        self._default = default
        self._active_limit = active_runs
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._ordered: dict[Hashable, OrderedTasks] = {}
        self._active: set[Run] = set()
        self.waiting = 0
        self.waiting_bytes = 0

    @property
    def outstanding(self) -> int:
        """Requests that are waiting or being worked on."""
        return self.waiting + sum(len(run.tasks) for run in self._active)

    @property
    def has_ready(self) -> bool:
        """Whether any lane has something to take, be it that its turn has not come."""
        return bool(self._ready)

    def may_take(self, now: float) -> bool:
        """Whether ``take`` is likely to return a run: something is ready and not too much is being worked on."""
        if not self._ready:
            return False
        fresh = sum(now - run.started_at < STALE_AFTER and not run.slow for run in self._active)
        return fresh < self._active_limit or any(lane.settings.slow for lane in self._ready)

    def oldest_waiting(self) -> float | None:
        """Monotonic time at which the longest waiting request arrived; None when none waits.

        Ordered tasks are asked by their keys, because those that wait for a run of their own key stand in no lane.
        """
        times = [ordered.tasks[0].received_at for ordered in self._ordered.values() if ordered.tasks]
        for lane in self._ready:
            times += islice((entry.received_at for entry in lane.entries if not isinstance(entry, OrderedTasks)), 1)
        return min(times, default=None)

    def put(self, tasks: Iterable[ProxyTask]) -> None:
        """Let these tasks wait, each in its lane."""
        for task in tasks:
            self.waiting += 1
            self.waiting_bytes += len(task.body)
            if task.order_key is None:
                self._append(task.lane, task)
                continue
            ordered = self._ordered.get(task.order_key)
            if ordered is None:
                ordered = self._ordered[task.order_key] = OrderedTasks(task.order_key)
                self._append(task.lane, ordered)
            ordered.tasks.append(task)

    def take(self, now: float) -> Run | None:
        """Cut the next run, or return None when nothing waits or enough is being worked on; see ``next_look``."""
        fresh = [run for run in self._active if now - run.started_at < STALE_AFTER]
        full = sum(not run.slow for run in fresh) >= self._active_limit
        for _ in range(len(self._ready)):
            lane = self._ready[0]
            settings = lane.settings
            at_work = self._active if settings.slow else fresh
            if (full and not settings.slow) or self._is_busy(lane, at_work):
                self._ready.rotate(-1)
                continue
            run = Run([], now)
            self._cut(lane, run)
            twin = self._lanes.get(settings.twin)
            if twin is not None and twin.is_ready and len(self._ready) > 1 + lane.is_ready and not self._is_busy(twin, fresh):
                self._cut(twin, run)
            self._active.add(run)
            return run
        return None

    @staticmethod
    def _is_busy(lane: Lane, at_work: Iterable[Run]) -> bool:
        return sum(lane in run.lanes for run in at_work) >= lane.settings.parallel

    def next_look(self, now: float) -> float | None:
        """Seconds until a run goes stale and ``take`` may succeed though nothing else happens; None when there is no such time."""
        if not self._ready:
            return None
        ages = [now - run.started_at for run in self._active]
        return min((STALE_AFTER - age for age in ages if age < STALE_AFTER), default=None)

    def finish(self, run: Run) -> None:
        """Forget a run that is done; what waited for its order keys may go on."""
        self._active.discard(run)
        for ordered in run.ordered:
            if ordered.tasks:
                self._append(ordered.tasks[0].lane, ordered)
            else:
                del self._ordered[ordered.key]

    def _append(self, name: str, entry: ProxyTask | OrderedTasks) -> None:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._settings.get(name, self._default))
        lane.entries.append(entry)
        self._make_ready(lane)

    def _make_ready(self, lane: Lane) -> None:
        if not lane.is_ready:
            lane.is_ready = True
            self._ready.append(lane)

    def _cut(self, lane: Lane, run: Run) -> None:
        """Let a run take what waits in a ready lane, as far as it has room."""
        self._ready.remove(lane)
        lane.is_ready = False
        run.lanes.append(lane)
        limit, before = lane.settings.limit(len(lane.entries)), len(run.tasks)
        while lane.entries and len(run.tasks) < limit:
            entry = lane.entries.popleft()
            if not isinstance(entry, OrderedTasks):
                run.tasks.append(entry)
                continue
            name = entry.tasks[0].lane
            while entry.tasks and entry.tasks[0].lane == name and len(run.tasks) < limit:
                run.tasks.append(entry.tasks.popleft())
            run.ordered.append(entry)
        if lane.entries:
            self._make_ready(lane)
        self.waiting -= len(run.tasks) - before
        self.waiting_bytes -= sum(len(task.body) for task in run.tasks[before:])
