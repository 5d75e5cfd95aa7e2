"""RequestStats: how many requests came to what end, and how long they waited and were worked on.

Each worker thread has a recorder that no other thread writes to, so recording takes no lock: one call for a batch. Who reads adds up the
numbers of all recorders, and may see a part of what is being recorded at that moment. Times are in seconds.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dbproxy.work.batch import GIVEN_BACK, UNREADABLE, Batch
from dbproxy.work.slow_requests import SlowRequests

OUTCOMES: Final = ("answered", "refused", "dropped", "unreadable")
"""Names of the outcomes in ``batch.py``, in their order."""

SECONDS_BOUNDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0)
"""Upper bounds of the buckets of waiting and working: from less than one round trip to RequestTimeout; three for each power of ten."""

BATCH_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""The same for the sizes of batches; MaxBatchSize is 64 unless somebody changes it."""


class Histogram:
    """Counts by bucket, and the sum of what was observed. ``buckets`` is not cumulative and has one more for what is above all bounds."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.buckets)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that occurred so many times. One thread only."""
        self.buckets[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def add(self, other: Histogram) -> None:
        """Add what another histogram with the same bounds has counted."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.sum += other.sum


class CommandStats:
    """The requests of one command: ``outcomes`` counts by outcome. Waiting: from the arrival of a request until a worker begins with its
    batch; working: until that is done. Requests that are not readable are in neither.
    """

    __slots__ = ("outcomes", "waiting", "working")

    def __init__(self) -> None:
        self.outcomes = [0] * len(OUTCOMES)
        self.waiting = Histogram(SECONDS_BOUNDS)
        self.working = Histogram(SECONDS_BOUNDS)

    def add(self, other: CommandStats) -> None:
        """Add what was counted elsewhere."""
        self.outcomes = [mine + theirs for mine, theirs in zip(self.outcomes, other.outcomes, strict=True)]
        self.waiting.add(other.waiting)
        self.working.add(other.working)


class RequestRecorder:
    """What one thread has done. Only that thread calls ``record`` and ``unreadable``; any thread may read the numbers."""

    def __init__(self, slow: SlowRequests) -> None:
        self._slow = slow
        self.commands: dict[str, CommandStats] = {}
        """By the name of the command. A dict to copy: the thread adds commands when they first occur."""
        self.batch_sizes = Histogram(BATCH_BOUNDS)

    def record(self, batch: Batch, now: float) -> None:
        """Count the requests of a batch that is done at ``now`` (monotonic)."""
        tasks, started = batch.tasks, batch.started
        received = [task.received_at for task in tasks]
        first = min(received)
        if batch.uniform and not batch.outcomes:
            self._record_answered(tasks[0].handler.command.name, received, first, started, now - started)
        else:
            self._record_each(batch, now - started)
        self.batch_sizes.observe(len(tasks))
        if now - first >= self._slow.threshold:
            self._slow.note(batch, now)

    def unreadable(self, command: str) -> None:
        """Count a request of this command that cannot be parsed and does not come into a batch."""
        self._of(command).outcomes[UNREADABLE] += 1

    def _record_answered(self, command: str, received: Sequence[float], first: float, started: float, worked: float) -> None:
        """The usual batch: all requests have one handler and are answered. ``received``: when they came, ``first`` the earliest of it."""
        stats = self.commands.get(command) or self._of(command)
        count = len(received)
        stats.outcomes[0] += count
        stats.working.observe(worked, count)
        waiting = stats.waiting
        bounds = waiting.bounds
        bucket = bisect_left(bounds, started - first)
        if bucket == bisect_left(bounds, started - max(received)):
            waiting.buckets[bucket] += count
            waiting.sum += count * started - sum(received)
        else:
            for received_at in received:
                waiting.observe(started - received_at)

    def _record_each(self, batch: Batch, worked: float) -> None:
        for task in batch.tasks:
            outcome = batch.outcomes.get(task, 0)
            if outcome == GIVEN_BACK:
                continue
            stats = self._of(task.handler.command.name)
            stats.outcomes[outcome] += 1
            if outcome != UNREADABLE:
                stats.waiting.observe(batch.started - task.received_at - task.worked_before)
                stats.working.observe(worked + task.worked_before)

    def _of(self, command: str) -> CommandStats:
        stats = self.commands.get(command)
        if stats is None:
            stats = self.commands[command] = CommandStats()
        return stats


@dataclass(frozen=True, slots=True)
class RequestTotals:
    """The sums over all recorders."""

    commands: dict[str, CommandStats]
    batch_sizes: Histogram


class RequestStats:
    """The recorders of one proxy. Any thread."""

    def __init__(self, commands: Iterable[str], slow: SlowRequests) -> None:
        """``commands``: names of those that are reported also when none of their requests has come yet."""
        self._commands = tuple(commands)
        self._slow = slow
        self._recorders: list[RequestRecorder] = []
        self._released: list[RequestRecorder] = []

    def recorder(self) -> RequestRecorder:
        """Return a recorder for the calling thread."""
        with contextlib.suppress(IndexError):
            return self._released.pop()
        recorder = RequestRecorder(self._slow)
        self._recorders.append(recorder)
        return recorder

    def release(self, recorder: RequestRecorder) -> None:
        """Let another thread go on with a recorder; its numbers stay."""
        self._released.append(recorder)

    def totals(self) -> RequestTotals:
        """Add up what all threads have recorded."""
        commands = {name: CommandStats() for name in self._commands}
        sizes = Histogram(BATCH_BOUNDS)
        for recorder in self._recorders.copy():
            for name, stats in recorder.commands.copy().items():
                commands.setdefault(name, CommandStats()).add(stats)
            sizes.add(recorder.batch_sizes)
        return RequestTotals(commands, sizes)
