"""Threads, descriptors, connections and memory of a process, from /proc (Linux only); any thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SHORTEST_TREND = 60.0
"""Seconds below which the trend of the memory says nothing: caches and pools are still being filled."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process holds at one moment."""

    threads: int
    descriptors: int
    to_backends: int
    """Connections to the given ports; their number varies up to the sizes of the pools."""
    dead: int
    """Sockets whose connection was reset by the other side: idle ones in a pool remain until they are taken."""
    memory: float
    """Resident set size in megabytes."""

    @property
    def others(self) -> int:
        """Descriptors other than connections to backends, open or dead."""
        return self.descriptors - self.to_backends - self.dead


def resources(pid: int, backend_ports: Collection[int]) -> Resources:
    """Read what a process holds; OSError when it does not exist."""
    base = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (base / "status").read_text().splitlines() if ":" in line)
    remote_ports = _tcp_sockets()
    links = []
    for number in os.listdir(base / "fd"):  # noqa: PTH208 - only the names are needed
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str((base / "fd" / number).readlink()))
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    return Resources(
        threads=int(status["Threads"]),
        descriptors=len(links),
        to_backends=sum(remote_ports.get(inode) in backend_ports for inode in sockets),
        dead=len(sockets - set(remote_ports) - _unix_sockets()),
        memory=int(status["VmRSS"].split()[0]) / 1024,
    )


def _tcp_sockets() -> dict[str, int]:
    """Return inode → remote port of the TCP sockets of this machine."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {fields[9]: int(fields[2].rpartition(":")[2], 16) for fields in lines}


def _unix_sockets() -> set[str]:
    """Return the inodes of the unix sockets of this machine."""
    return {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}


@dataclass(frozen=True, slots=True)
class MemoryTrend:
    """The lowest memory in the middle and at the end of a run, in megabytes. Peers that do not read cause peaks in between."""

    middle: float
    end: float

    @property
    def growth(self) -> float:
        """Megabytes by which the memory has grown."""
        return self.end - self.middle


def memory_trend(samples: list[tuple[float, float]]) -> MemoryTrend | None:
    """Compare the end of (second, megabytes) with the middle; None when the time was too short."""
    if not samples or samples[-1][0] - samples[0][0] < SHORTEST_TREND:
        return None
    began, length = samples[0][0], samples[-1][0] - samples[0][0]
    middle = [memory for second, memory in samples if 0.35 <= (second - began) / length <= 0.55]
    end = [memory for second, memory in samples if (second - began) / length >= 0.8]
    return MemoryTrend(min(middle), min(end)) if middle and end else None
