"""Programs measured in turns: each workload, in each round, by one program after the other. One thread.

These machines are noisy, and databases have moods: what is measured in turns is compared, and what was measured yesterday is not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dbproxy.bench import dataset
from dbproxy.bench.contestants import Contestant
from dbproxy.bench.generator import Job
from dbproxy.bench.limits import BUSY
from dbproxy.bench.load import GENERATOR, GeneratorError, Measured, measure
from dbproxy.bench.site import CACHE, DATABASE, PROXY, Site
from dbproxy.bench.throughput import renew
from dbproxy.bench.workloads import Workload, wrong_replies
from dbproxy.errors import StartupError, StoreError


@dataclass(frozen=True, slots=True)
class VersusPlan:
    """What is measured; times in seconds. ``generators``: 0: as many as are needed, up to ``MOST_GENERATORS``."""

    workloads: Sequence[Workload]
    in_flight: int
    connections: int
    rounds: int
    warm: float
    seconds: float
    shape: dataset.Shape
    generators: int = 0


MOST_GENERATORS = 4


@dataclass(slots=True)
class Turn:
    """One measurement of one program; ``cpu_us``: process → microseconds of CPU per request."""

    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)
    generator_cores: float = 0.0
    """CPU cores that each generator has used: near 1 it was the limit."""
    generators: int = 1
    problem: str = ""
    """Why the figures say little, or why there are none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All turns of one workload: program → its turns, in the order of the rounds."""

    workload: str
    turns: dict[str, list[Turn]]

    def median(self, name: str, value: Callable[[Turn], float]) -> float | None:
        """Return the median of a value over the turns of a program that have figures; None if none has."""
        values = [value(turn) for turn in self.turns[name] if turn.per_second]
        return statistics.median(values) if values else None

    def ratios(self, name: str, to: str) -> list[float]:
        """Return for each round in which both have figures: requests per second of ``name`` as a multiple of those of ``to``."""
        pairs = zip(self.turns[name], self.turns[to], strict=True)
        return [one.per_second / other.per_second for one, other in pairs if one.per_second and other.per_second]


def compare(contestants: Sequence[Contestant], plan: VersusPlan, show: Callable[[str], None]) -> list[Comparison]:
    """Measure; ``show`` is called with the progress. A program that fails gets a turn with the problem, and its next turn."""
    generators = plan.generators or 1
    comparisons: list[Comparison] = []
    total = len(plan.workloads) * plan.rounds * len(contestants)
    for workload in plan.workloads:
        turns: dict[str, list[Turn]] = {contestant.name: [] for contestant in contestants}
        for number in range(plan.rounds):
            # every other round in the other order, so that nobody always comes first
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                done = sum(map(len, turns.values())) + len(comparisons) * plan.rounds * len(contestants)
                show(f"{workload.name}, round {number + 1}: {contestant.name} ({done + 1} of {total})")
                turn = _turn(contestant, workload, plan, generators)
                if not plan.generators and turn.generator_cores >= BUSY and generators < MOST_GENERATORS:
                    generators += 1
                    turn = _turn(contestant, workload, plan, generators)
                turns[contestant.name].append(turn)
        comparisons.append(Comparison(workload.name, turns))
    return comparisons


def _turn(contestant: Contestant, workload: Workload, plan: VersusPlan, generators: int) -> Turn:
    turn = Turn()
    try:
        with contestant.serving() as site:
            try:
                turn = _measured(site, workload, plan, generators)
            finally:
                if site.stack is None:
                    dataset.remove(site)
                if turn.problem or not turn.per_second:
                    turn.problem = "; ".join(filter(None, [turn.problem, contestant.condition]))
    except (StartupError, StoreError, GeneratorError, OSError) as error:
        turn.problem = "; ".join(filter(None, [turn.problem, str(error).splitlines()[0]]))
    return turn


def _measured(site: Site, workload: Workload, plan: VersusPlan, generators: int) -> Turn:
    frames = workload.frames(renew(site, plan.shape))
    job = Job(site.host, site.port, max(1, min(plan.connections, plan.in_flight)), plan.in_flight, plan.warm, plan.seconds)
    measured = measure(site, job, frames, site.processes(), generators)
    outcome = measured.outcome
    problems = []
    if outcome.closed:
        problems.append(f"it closed {outcome.closed} connections")
    if outcome.unanswered:
        problems.append(f"{outcome.unanswered} requests were never answered")
    wrong = len(wrong_replies(outcome.samples))
    if wrong:
        problems.append(f"{wrong} of {len(outcome.samples)} replies that were looked at are refusals or empty")
    return Turn(
        outcome.per_second,
        1000 * outcome.p50,
        1000 * outcome.p99,
        _cpu(measured),
        measured.usage.processes.get(GENERATOR, 0.0) / measured.generators,
        measured.generators,
        "; ".join(problems),
    )


def _cpu(measured: Measured) -> dict[str, float]:
    """Microseconds of CPU per request of each process that is on this machine."""
    rate = measured.outcome.per_second
    used = measured.usage.processes
    return {name: 1e6 * used[name] / rate for name in (PROXY, DATABASE, CACHE) if rate and used.get(name)}
