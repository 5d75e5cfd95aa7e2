"""CPU times of processes and of the machine, from /proc. Any thread.

Processes are found by the port on which they listen, whoever started them. Those on other machines, and those that this user may not
inspect, are left out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
LISTENING = "0A"


def is_local(host: str) -> bool:
    """Return whether an address or name belongs to this machine."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


def listeners(host: str, port: int) -> list[int]:
    """Return the ids of the processes of this machine that listen on a port, ascending; none when the host is another machine."""
    if not is_local(host):
        return []
    sockets = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    return sorted(int(process.name) for process in PROC.iterdir() if process.name.isdigit() and _holds(process, sockets))


def _holds(process: Path, sockets: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    return True
    return False


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used, all threads together; processes that have ended count as 0."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of these processes, in bytes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int((PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """The state of the clocks at one moment, in seconds: monotonic time, CPU times by name, the machine's busy and stolen time."""

    at: float
    processes: Mapping[str, float]
    busy: float
    stolen: float


def sample(processes: Mapping[str, Iterable[int]]) -> Sample:
    """Read the clocks of these processes (name → ids) and of the machine."""
    fields = [int(field) for field in (PROC / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, stolen = fields
    used = {name: cpu_seconds(pids) for name, pids in processes.items()}
    return Sample(time.monotonic(), used, (user + nice + system + irq + softirq) / TICK, stolen / TICK)


@dataclass(frozen=True)
class Usage:
    """Cores in use between two samples: by name, by the whole machine, and ``stolen`` by other guests of the host of a virtual machine.
    ``cores`` is how many there are.
    """

    cores: int
    processes: Mapping[str, float]
    machine: float
    stolen: float

    @property
    def others(self) -> float:
        """Cores used by processes that are not among the named ones."""
        return max(0.0, self.machine - sum(self.processes.values()))


def usage(before: Sample, after: Sample) -> Usage:
    """Return the usage between two samples of the same processes."""
    seconds = max(after.at - before.at, 1e-9)
    return Usage(
        len(os.sched_getaffinity(0)),
        {name: max(0.0, used - before.processes[name]) / seconds for name, used in after.processes.items()},
        (after.busy - before.busy) / seconds,
        (after.stolen - before.stolen) / seconds,
    )
