"""The day: two proxies on one stack, traffic, pests and faults, and in the evening the verdict."""

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
from dbproxy.testing.soak import evening
from dbproxy.testing.soak.faults import Faults, Window
from dbproxy.testing.soak.leaks import Holdings, holdings, trend
from dbproxy.testing.soak.ledger import Ledger, Trouble, shortened
from dbproxy.testing.soak.pests import Pest
from dbproxy.testing.soak.writers import GROUPS, USERS, MessageServer, members_of
from dbproxy.testing.stack import POOLS, Stack

RECOVERY_LIMIT = 5.0
"""Seconds after the return of a backend within which everything must work again."""

CONNECTIONS_LIMIT = 7 * 16 + 4
"""What the pools of a proxy may have: two for MySQL, five for Redis, the file server."""

AFTERMATH = 6.0
"""Seconds after a fault in which a request may still be refused or dropped on its account: what was waiting then has to end first."""

NOTEWORTHY = 1.0
"""Seconds that one probe may take without being mentioned."""

CALM = 3.0
"""Seconds of traffic without faults at the end."""

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
"""What differs from the stock configuration: shorter waits, so that a short day has room for many faults."""


ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""glibc gives each thread a heap of its own, and each keeps what it needed at its worst moment: that hides what really leaks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the day is to be."""

    seconds: float = 600
    seed: str = "1"
    writers: int = 6
    pests: int = 2
    pause: float = 0.01
    """Mean seconds between two actions of a writer."""
    least_gap: float = 1.0
    most_gap: float = 5.0
    """Seconds between two faults."""


@dataclass(slots=True)
class Result:
    """How the day was."""

    problems: list[str] = field(default_factory=list)
    """Broken promises; empty is what one hopes for."""
    notes: list[str] = field(default_factory=list)
    """Figures for the reader."""
    counts: Counter[str] = field(default_factory=Counter)
    """What was done how often; ``messages`` are those that were acknowledged."""
    faults: int = 0


class Soak:
    """One day on ``stack``, which must run and be empty; ``say`` gets a line of progress now and then. One thread."""

    def __init__(self, stack: Stack, plan: Plan, say: Callable[[str], None]) -> None:
        self.result = Result()
        self._stack = stack
        self._plan = plan
        self._say = say
        self._began = time.monotonic()
        self._samples: list[tuple[float, float]] = []
        self._steady: ProxyProcess
        self._restarted: ProxyProcess
        self._backend_ports: set[int] = set()
        self._probe_ledger = Ledger(0)
        self._probes = 0

    def run(self) -> Result:
        """Live through it."""
        with ExitStack() as exits:
            files = exits.enter_context(FileServer())
            mysql = exits.enter_context(FaultyLink(self._stack.mariadb.address))
            redis = exits.enter_context(FaultyLink(self._stack.redis_server.address))
            self._backend_ports = {self._stack.mariadb.port, self._stack.redis_server.port, mysql.port, redis.port, files.port}
            self._people()
            keys = {**KEYS, "MsfsSite": files.site}
            cuttable = {f"{pool}_port": redis.port for pool in POOLS}
            cuttable |= {"teamtalk_master_port": mysql.port, "teamtalk_slave_port": mysql.port}
            directory = self._stack.directory
            self._steady = exits.enter_context(ProxyProcess(self._stack, keys, env=ONE_ARENA, directory=directory / "steady"))
            self._restarted = exits.enter_context(ProxyProcess(self._stack, {**keys, **cuttable}, directory=directory / "restarted"))
            before = self._holdings(self._steady)
            faults = Faults(self._stack, self._restarted, files, mysql, redis, random.Random(f"{self._plan.seed}/faults"))
            writers = self._live(faults)
            self._judge(faults, writers, before)
        return self.result

    def _people(self) -> None:
        seed.department(self._stack, 1)
        for user_id in USERS:
            seed.user(self._stack, user_id)
        for group_id in GROUPS:
            seed.group(self._stack, group_id, members_of(group_id))

    # daytime

    def _live(self, faults: Faults) -> list[MessageServer]:
        plan = self._plan
        writers = [MessageServer(number, plan.seed, self._connect, plan.pause) for number in range(1, plan.writers + 1)]
        pests = [Pest(number, plan.seed, lambda chance: chance.choice(self._proxies()).port) for number in range(1, plan.pests + 1)]
        workers: list[MessageServer | Pest] = [*writers, *pests]
        for worker in workers:
            worker.start()
        self._began = time.monotonic()
        chance = random.Random(f"{plan.seed}/gaps")
        end = self._began + plan.seconds
        try:
            while True:
                self._pass(min(chance.uniform(plan.least_gap, plan.most_gap), max(end - time.monotonic(), 0)))
                if time.monotonic() >= end:
                    break
                self._suffer(faults, writers)
            for pest in pests:
                pest.stop()
            self._pass(AFTERMATH + CALM)
        finally:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.join()
        for worker in workers:
            self.result.counts += worker.counts
            self.result.problems += shortened(worker.problems)
        return writers

    def _suffer(self, faults: Faults, writers: list[MessageServer]) -> None:
        what = faults.one()
        self.result.faults += 1
        back = self._recover(what)
        done = sum(writer.counts["messages"] for writer in writers)
        refused = sum(writer.ledger.refused for writer in writers)
        memory = f", {self._samples[-1][1]:.0f} MB" if self._samples else ""
        self._say(f"{self._clock()} {what}; back after {back:.1f} s; {done} messages, {refused} refused{memory}")

    def _recover(self, what: str) -> float:
        """Wait until every proxy stores and reads again; the seconds that took."""
        began = time.monotonic()
        for proxy in self._proxies():
            while not self._works(proxy):
                if time.monotonic() - began > 4 * RECOVERY_LIMIT:
                    break
                time.sleep(0.02)
        took = time.monotonic() - began
        if took > RECOVERY_LIMIT:
            self.result.problems.append(f"{self._clock()} after {what} it took {took:.1f} s until everything worked again")
        return took

    def _works(self, proxy: ProxyProcess) -> bool:
        self._probes += 1
        one, other = 1000, 1001 + self._probes % 50  # now and then a pair that has never met
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
            if took > NOTEWORTHY:
                self._say(f"{self._clock()}   a probe's {what} took {took:.1f} s")

    def _pass(self, seconds: float) -> None:
        """Let time go by, and look at the memory meanwhile."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                self._samples.append((time.monotonic() - self._began, self._holdings(self._steady).memory))
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.5))

    def _connect(self, chance: random.Random) -> tuple[str, Client]:
        proxy = chance.choice(self._proxies())
        return proxy.directory.name, proxy.client()

    def _proxies(self) -> list[ProxyProcess]:
        return [self._steady, self._restarted]

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60:02}:{seconds % 60:02}"

    def _holdings(self, proxy: ProxyProcess) -> Holdings:
        return holdings(proxy.pid, self._backend_ports)

    # evening

    def _judge(self, faults: Faults, writers: list[MessageServer], before: Holdings) -> None:
        problems, notes = self.result.problems, self.result.notes
        problems += faults.problems
        problems += shortened(list(self._unexplained(faults.windows, writers)))
        problems += evening.check_messages(self._stack, [writer.ledger for writer in writers])
        problems += evening.check_counters(self._stack, self._proxies())
        problems += evening.check_stores(self._steady, notes)
        problems += self._check_leaks(before)
        problems += evening.check_logs(self._proxies(), notes)
        refused = sum(writer.ledger.refused for writer in writers)
        unanswered = sum(writer.ledger.unanswered for writer in writers)
        slowest = max((writer.slowest for writer in writers), default=0)
        notes.append(f"{self.result.counts['messages']} messages acknowledged, {refused} refused, {unanswered} cut off")
        notes.append(f"slowest answer to a message {slowest:.1f} s; {self.result.counts['dropped']} lookups dropped; {faults_text(faults)}")

    def _unexplained(self, windows: list[Window], writers: list[MessageServer]) -> Iterator[str]:
        """Refusals, dropped requests and lost connections for which no fault can be blamed."""

        def explained(trouble: Trouble) -> bool:
            return any(trouble.sent <= window.ended + AFTERMATH and window.began <= trouble.noticed for window in windows)

        for writer in writers:
            yield from (
                f"without any fault, {trouble.sent - self._began:.1f} s after the start: {trouble.what}"
                for trouble in (*writer.troubles, *writer.slow)
                if not explained(trouble)
            )
            for proxy, when in writer.lost:
                if proxy == self._steady.directory.name:
                    yield f"the proxy that was never restarted closed a connection, {when - self._began:.1f} s after the start"

    def _check_leaks(self, before: Holdings) -> list[str]:
        problems = []
        after = evening.settled(lambda: self._holdings(self._steady), lambda now: now.others <= before.others)
        if after.threads > before.threads:
            problems.append(f"threads: {before.threads} at the beginning, {after.threads} at the end")
        if after.others > before.others:
            problems.append(f"descriptors besides connections to backends: {before.others} at the beginning, {after.others} at the end")
        if after.to_backends + after.dead > CONNECTIONS_LIMIT:
            problems.append(f"{after.to_backends} connections to backends and {after.dead} dead sockets are more than the pools may have")
        held = sum(self._holdings(proxy).to_backends for proxy in self._proxies())
        on_server = evening.settled(lambda: evening.mysql_connections(self._stack), lambda now: now <= held)
        if on_server > held:
            problems.append(f"MySQL has {on_server} connections, the proxies hold {held} to backends")
        found = trend(self._samples)
        if found is not None and found.growth > evening.GROWTH_LIMIT:
            problems.append(f"memory grew from {found.middle:.1f} to {found.end:.1f} MB")
        memory = f"{before.memory:.0f} MB at the beginning, {after.memory:.0f} MB at the end"
        grown = f" ({found.growth:+.1f} MB from the middle of the day to its end)" if found else ""
        self.result.notes.append(
            f"memory {memory}{grown}; {after.threads} threads, {after.descriptors} descriptors, {after.dead} of them dead"
        )
        return problems


def faults_text(faults: Faults) -> str:
    """How many faults there were, of which kinds."""
    kinds = Counter(window.what for window in faults.windows)
    return f"{len(faults.windows)} faults ({', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))})"
