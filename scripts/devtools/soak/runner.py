"""The soak test: two proxies on one stack under load, with faults and abusive clients, and the checks afterwards."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from dbproxy.testing import seed
from dbproxy.testing.client import Client
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.file_server import FileServer
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import eventually
from devtools.process_resources import Resources, memory_trend, resources
from devtools.soak import checks
from devtools.soak.abusive_clients import AbusiveClient
from devtools.soak.faults import CONNECTIONS, LOOKUPS, MESSAGES, OLD_READS, Injector, Scene, Window
from devtools.soak.message_servers import GROUPS, USERS, FailedRequest, MessageServer, members_of
from devtools.soak.server_faults import sessions
from devtools.soak.topologies import Topology, link_keys
from devtools.verification import shortened, verify_messages

RECOVERY_LIMIT = 5.0
"""Seconds after the end of a fault within which everything must work again."""

FAULT_TAIL = 6.0
"""Seconds after a fault in which a request may still fail because of it: what was waiting then has to end first."""

SLOW_PROBE = 1.0
"""A probe that takes more seconds is reported."""

FAULTLESS_END = 3.0
"""Seconds of load without faults at the end."""

GROWTH_LIMIT = 8.0
"""Megabytes by which the memory may grow from the middle of the run, when all caches and pools are full, to its end."""

KEYS: dict[str, object] = {
    "ThreadNum": 16,
    "RequestTimeout": 5,
    "DBConnectTimeout": 2,
    "DBTimeout": 5,
    "DBLockTimeout": 2,
    "DBPoolTimeout": 3,
    "CacheConnectTimeout": 2,
    "CacheTimeout": 4,
    "CachePoolTimeout": 3,
    "FileServerTimeout": 3,
    "SyncInterval": 1,
    "StopGrace": 5,
    "PeerTimeout": 120,
    "MaxSendBuffer": 262_144,
    "MaxSendBufferTotal": 4_194_304,
}
"""Keys that differ from the stock configuration: shorter timeouts, so that many faults fit into a short run."""


ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""glibc gives each thread an arena, and each keeps its peak size: that would hide real leaks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run."""

    seconds: float = 600
    seed: str = "1"
    writers: int = 6
    abusive_clients: int = 2
    pause: float = 0.01
    """Mean seconds between two actions of a writer."""
    min_gap: float = 1.0
    max_gap: float = 5.0
    """Seconds between two faults."""


@dataclass(slots=True)
class Result:
    """The result of a run."""

    problems: list[str] = field(default_factory=list)
    """What was wrong; empty is a success."""
    notes: list[str] = field(default_factory=list)
    """Figures for information."""
    counts: Counter[str] = field(default_factory=Counter)
    """Action → how often it was done; ``messages`` are those that were acknowledged."""
    faults: int = 0


class Soak:
    """One run on ``stack``, which is one of ``topology`` and must be started and empty; ``report`` is called with lines about the progress.
    One thread.
    """

    def __init__(self, stack: Stack, topology: Topology, plan: Plan, report: Callable[[str], None]) -> None:
        self.result = Result()
        self._stack = stack
        self._topology = topology
        self._plan = plan
        self._report = report
        self._began = time.monotonic()
        self._samples: list[tuple[float, float]] = []
        self._steady: ProxyProcess
        self._restarted: ProxyProcess
        self._backend_ports: set[int] = set()
        self._probes = 0

    def run(self) -> Result:
        """Run the test and return its result."""
        with ExitStack() as exits:
            files = exits.enter_context(FileServer())
            mysql = exits.enter_context(FaultyLink(self._stack.mariadb.address))
            redis = exits.enter_context(FaultyLink(self._stack.redis_server.address))
            self._backend_ports = {server.port for server in self._stack.all_servers} | {mysql.port, redis.port, files.port}
            self._create_data()
            keys = {**KEYS, "MsfsSite": files.site}
            steady, restarted = self._topology.keys(self._stack)
            restarted = {**restarted, **link_keys(self._topology, mysql.port, redis.port)}
            directory = self._stack.directory
            self._steady = exits.enter_context(ProxyProcess(self._stack, {**keys, **steady}, env=ONE_ARENA, directory=directory / "steady"))
            self._restarted = exits.enter_context(ProxyProcess(self._stack, {**keys, **restarted}, directory=directory / "restarted"))
            before = self._resources(self._steady)
            rng = random.Random(f"{self._plan.seed}/faults")
            scene = Scene(self._stack, self._steady, self._restarted, files, mysql, redis, rng)
            faults = Injector(self._topology.faults(scene), rng)
            writers = self._apply_load(faults)
            self._topology.settle(self._stack)
            self.result.problems += scene.problems
            self._check(faults, writers, before)
        return self.result

    def _create_data(self) -> None:
        seed.department(self._stack, 1)
        for user_id in USERS:
            seed.user(self._stack, user_id)
        for group_id in GROUPS:
            seed.group(self._stack, group_id, members_of(group_id))

    # load and faults

    def _apply_load(self, faults: Injector) -> list[MessageServer]:
        plan = self._plan
        writers = [MessageServer(number, plan.seed, self._connect, plan.pause) for number in range(1, plan.writers + 1)]
        abusive = [
            AbusiveClient(number, plan.seed, lambda rng: rng.choice(self._proxies()).port) for number in range(1, plan.abusive_clients + 1)
        ]
        workers: list[MessageServer | AbusiveClient] = [*writers, *abusive]
        for worker in workers:
            worker.start()
        self._began = time.monotonic()
        rng = random.Random(f"{plan.seed}/gaps")
        end = self._began + plan.seconds
        try:
            while True:
                self._wait(min(rng.uniform(plan.min_gap, plan.max_gap), max(end - time.monotonic(), 0)))
                if time.monotonic() >= end:
                    break
                self._inject_fault(faults, writers)
            for client in abusive:
                client.stop()
            self._wait(FAULT_TAIL + FAULTLESS_END)
        finally:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join()
        for worker in workers:
            self.result.counts += worker.counts
            self.result.problems += shortened(worker.problems)
        return writers

    def _inject_fault(self, faults: Injector, writers: list[MessageServer]) -> None:
        what = faults.inject_next()
        self.result.faults += 1
        back = self._recover(what)
        done = sum(writer.counts["messages"] for writer in writers)
        refused = sum(writer.history.refused for writer in writers)
        memory = f", {self._samples[-1][1]:.0f} MB" if self._samples else ""
        self._report(f"{self._clock()} {what}; back after {back:.1f} s; {done} messages, {refused} refused{memory}")

    def _recover(self, what: str) -> float:
        """Wait until every proxy stores and reads again; return the seconds that took."""
        began = time.monotonic()
        for proxy in self._proxies():
            eventually(lambda: self._works(proxy), True, began + 4 * RECOVERY_LIMIT - time.monotonic())  # noqa: B023 - called at once
        took = time.monotonic() - began
        if took > RECOVERY_LIMIT:
            self.result.problems.append(f"{self._clock()} after {what} it took {took:.1f} s until everything worked again")
        return took

    def _works(self, proxy: ProxyProcess) -> bool:
        self._probes += 1
        one, other = 1000, 1001 + self._probes % 50  # sometimes a pair without a relation
        try:
            with proxy.client(timeout=RECOVERY_LIMIT) as client:
                steps: tuple[tuple[str, Callable[[], int]], ...] = (
                    ("message", lambda: client.send_message(one, other, "a probe").msg_id),
                    ("group message", lambda: client.send_group_message(members_of(GROUPS[0])[0], GROUPS[0], "a probe").msg_id),
                    ("unread", lambda: 1 + client.unread(other).total_cnt),
                )
                return all(self._timed(f"{step} on {proxy.directory.name}", do) for step, do in steps)
        except OSError:
            return False

    def _timed(self, what: str, do: Callable[[], int]) -> int:
        began = time.monotonic()
        try:
            return do()
        finally:
            took = time.monotonic() - began
            if took > SLOW_PROBE:
                self._report(f"{self._clock()}   a probe's {what} took {took:.1f} s")

    def _wait(self, seconds: float) -> None:
        """Wait, and sample the memory meanwhile."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                self._samples.append((time.monotonic() - self._began, self._resources(self._steady).memory))
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.5))

    def _connect(self, rng: random.Random) -> tuple[str, Client]:
        proxy = rng.choice(self._proxies())
        return proxy.directory.name, proxy.client()

    def _proxies(self) -> list[ProxyProcess]:
        return [self._steady, self._restarted]

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60:02}:{seconds % 60:02}"

    def _resources(self, proxy: ProxyProcess) -> Resources:
        return resources(proxy.pid, self._backend_ports)

    # checks

    def _check(self, faults: Injector, writers: list[MessageServer], before: Resources) -> None:
        problems, notes = self.result.problems, self.result.notes
        problems += shortened(list(self._unexplained(faults.windows, writers)))
        problems += verify_messages(self._stack, [writer.history for writer in writers])
        problems += checks.check_counters(self._stack, self._proxies())
        problems += checks.check_consistency(self._steady, notes, self._topology.left_to_proxies)
        problems += self._check_leaks(before)
        problems += checks.check_logs(self._proxies(), notes)
        refused = sum(writer.history.refused for writer in writers)
        unanswered = sum(writer.history.unanswered for writer in writers)
        slowest = max((writer.slowest for writer in writers), default=0)
        notes.append(f"{self.result.counts['messages']} messages acknowledged, {refused} refused, {unanswered} unanswered")
        notes.append(
            f"slowest reply to a message {slowest:.1f} s; {self.result.counts['dropped']} lookups unanswered; {faults_text(faults)}"
        )

    def _unexplained(self, windows: list[Window], writers: list[MessageServer]) -> Iterator[str]:
        """Yield failed requests and lost connections that no fault explains."""

        def explained(request: FailedRequest) -> bool:
            spared = MESSAGES if request.is_message else LOOKUPS
            return any(
                spared not in window.spares and request.sent <= window.ended + FAULT_TAIL and window.began <= request.noticed
                for window in windows
            )

        for writer in writers:
            yield from (
                f"without any fault, {request.sent - self._began:.1f} s after the start: {request.what}"
                for request in (*writer.failed, *writer.slow)
                if not explained(request)
            )
            for read in writer.stale if self._topology.reads_what_others_commit else ():
                if not any(window.reads_may_be_old and window.began <= read.noticed <= window.ended + OLD_READS for window in windows):
                    yield f"stale, {read.sent - self._began:.1f} s after the start: {read.what}"
            for proxy, when in writer.lost:
                sparing = [window.what for window in windows if CONNECTIONS in window.spares and window.began <= when <= window.ended]
                if proxy == self._steady.directory.name or sparing:
                    why = ", ".join(sparing) or "it was never stopped"
                    yield f"{proxy} closed a connection, {when - self._began:.1f} s after the start ({why})"

    def _check_leaks(self, before: Resources) -> list[str]:
        problems = []
        after = checks.settled(lambda: self._resources(self._steady), lambda now: now.others <= before.others)
        if after.threads > before.threads:
            problems.append(f"threads: {before.threads} at the beginning, {after.threads} at the end")
        if after.others > before.others:
            problems.append(f"descriptors besides connections to backends: {before.others} at the beginning, {after.others} at the end")
        if after.to_backends + after.dead > self._topology.connections:
            problems.append(f"{after.to_backends} connections to backends and {after.dead} dead sockets are more than the pools may have")
        held = sum(self._resources(proxy).to_backends for proxy in self._proxies())
        on_server = checks.settled(lambda: len(sessions(self._stack)), lambda now: now <= held)
        if on_server > held:
            problems.append(f"MySQL has {on_server} connections, the proxies hold {held} to backends")
        trend = memory_trend(self._samples)
        if trend is not None and trend.growth > GROWTH_LIMIT:
            problems.append(f"memory grew from {trend.middle:.1f} to {trend.end:.1f} MB")
        memory = f"{before.memory:.0f} MB at the beginning, {after.memory:.0f} MB at the end"
        grown = f" ({trend.growth:+.1f} MB from the middle of the run to its end)" if trend else ""
        self.result.notes.append(
            f"memory {memory}{grown}; {after.threads} threads, {after.descriptors} descriptors, {after.dead} of them dead"
        )
        return problems


def faults_text(faults: Injector) -> str:
    """Return how many faults of which kinds there were."""
    kinds = Counter(window.what for window in faults.windows)
    return f"{len(faults.windows)} faults ({', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))})"
