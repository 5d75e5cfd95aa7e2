"""What a proxy process holds: threads, descriptors, connections, memory. Reads /proc, so it is for Linux; any thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

GROWTH_LIMIT = 8.0
"""Megabytes that the memory may grow after the first two fifths of the time, when all caches and pools are as full as they get."""

SHORTEST_TREND = 60.0
"""Seconds below which memory is not judged: everything is still being filled."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds at one moment."""

    threads: int
    descriptors: int
    to_backends: int
    """Connections to the given ports: their number may vary, up to what the pools allow."""
    dead: int
    """Sockets whose connection the other side has reset: idle ones in a pool stay like this until somebody takes them."""
    memory: float
    """Resident, in megabytes."""

    @property
    def others(self) -> int:
        """Descriptors that are no connections to backends, and have not been."""
        return self.descriptors - self.to_backends - self.dead


def holdings(pid: int, backend_ports: Collection[int]) -> Holdings:
    """Look at a process; OSError when it has gone."""
    base = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (base / "status").read_text().splitlines() if ":" in line)
    remote_ports = _tcp_sockets()
    links = []
    for number in os.listdir(base / "fd"):  # noqa: PTH208 - names are all that is wanted
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str((base / "fd" / number).readlink()))
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    return Holdings(
        threads=int(status["Threads"]),
        descriptors=len(links),
        to_backends=sum(remote_ports.get(inode) in backend_ports for inode in sockets),
        dead=len(sockets - set(remote_ports) - _unix_sockets()),
        memory=int(status["VmRSS"].split()[0]) / 1024,
    )


def _tcp_sockets() -> dict[str, int]:
    """Inode → remote port of the TCP sockets of this machine."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {fields[9]: int(fields[2].rpartition(":")[2], 16) for fields in lines}


def _unix_sockets() -> set[str]:
    """Inodes of the unix sockets of this machine."""
    return {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}


@dataclass(frozen=True, slots=True)
class Trend:
    """The lowest memory in the middle and at the end of a time, in megabytes; peers that do not read make peaks of it."""

    middle: float
    end: float

    @property
    def growth(self) -> float:
        """Megabytes."""
        return self.end - self.middle


def trend(samples: list[tuple[float, float]]) -> Trend | None:
    """Compare the end of (second, megabytes) with their middle; None when the time was too short to say anything."""
    if not samples or samples[-1][0] - samples[0][0] < SHORTEST_TREND:
        return None
    began, length = samples[0][0], samples[-1][0] - samples[0][0]
    middle = [memory for second, memory in samples if 0.35 <= (second - began) / length <= 0.55]
    end = [memory for second, memory in samples if (second - began) / length >= 0.8]
    return Trend(min(middle), min(end)) if middle and end else None
