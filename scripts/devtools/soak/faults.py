"""The faults of the soak test: which there are, in which order they come, and what each may do to requests. One thread."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.file_server import FileServer
from dbproxy.testing.process import ChildProcess
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack

LONGEST_FREEZE = 3.0
"""Seconds."""

OLD_READS = 2.0
"""Seconds."""

MESSAGES, LOOKUPS, CONNECTIONS = "messages", "lookups", "connections"
"""What a fault may spare: no message is refused because of it, no lookup stays unanswered, no connection of a peer is closed."""

NOTHING: frozenset[str] = frozenset()
EVERYTHING = frozenset((MESSAGES, LOOKUPS, CONNECTIONS))


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. ``inject`` returns when it is over."""

    inject: Callable[[], None]
    spares: frozenset[str] = NOTHING
    reads_may_be_old: bool = False
    """Whether what is read until ``OLD_READS`` seconds later may lack what was acknowledged just before."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return getattr(self.inject, "__name__", "fault").strip("_").replace("_", " ")


@dataclass(slots=True)
class Window:
    """The time of a fault, in seconds of the monotonic clock."""

    what: str
    spares: frozenset[str] = NOTHING
    reads_may_be_old: bool = False
    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")


@dataclass(frozen=True, slots=True)
class Scene:
    """What faults are injected into."""

    stack: Stack
    steady: ProxyProcess
    """The proxy that is never stopped or killed."""
    restarted: ProxyProcess
    """The proxy that is, and that reaches the backends over the links, where the topology lets it."""
    files: FileServer
    mysql_link: FaultyLink
    redis_link: FaultyLink
    rng: random.Random
    problems: list[str] = field(default_factory=list)
    """What faults have noticed themselves."""

    def sleep(self, least: float, most: float) -> None:
        """Wait for a random number of seconds."""
        time.sleep(self.rng.uniform(least, most))

    def freeze(self, server: ChildProcess) -> None:
        """Stop a process, and let it go on after a while."""
        server.freeze()
        try:
            self.sleep(0.5, LONGEST_FREEZE)
        finally:
            server.thaw()

    def cut(self, link: FaultyLink) -> None:
        """Close all connections of a link some times."""
        for _ in range(self.rng.randint(1, 8)):
            link.cut_all()
            self.sleep(0, 0.15)


class Injector:
    """Injects faults one after the other in a random order: each comes once before any is repeated."""

    def __init__(self, faults: Sequence[Fault], rng: random.Random) -> None:
        self.windows: list[Window] = []
        self._all = tuple(faults)
        self._rng = rng
        self._remaining: list[Fault] = []

    def inject_next(self) -> str:
        """Inject the next fault and wait until it is over; return its description."""
        if not self._remaining:
            self._remaining = self._rng.sample(self._all, len(self._all))
        fault = self._remaining.pop()
        window = Window(fault.name, fault.spares, fault.reads_may_be_old)
        self.windows.append(window)
        fault.inject()
        window.ended = time.monotonic()
        return f"{window.what}, {window.ended - window.began:.1f} s"
