"""What limits a measurement, derived from the CPU usage and the time spent in fsync. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.bench.load import GENERATOR, Measured
from dbproxy.bench.site import CACHE, DATABASE, PROXY

BUSY = 0.85
"""Cores: a process that can use only one is at its limit from this usage on."""

MACHINE_BUSY = 0.93
"""Share of all cores from which on the machine is at its limit."""

DISK_BUSY = 0.5
"""Share of the time spent in fsync from which on the disk counts as the limit."""

NOTABLE = 0.15
"""Share of the cores used by other processes, or cores taken by the host of a virtual machine, from which on there is a warning."""


@dataclass(frozen=True)
class Limit:
    """What is at its limit: a short name for tables, and the reason as a sentence."""

    name: str
    reason: str


def find_limit(measured: Measured, in_flight: int, proxies: int, fsync_seconds: float | None) -> Limit:
    """Return what limits. ``proxies``: proxy processes, each of which can use one core; ``fsync_seconds``: of one fsync, if known."""
    used, cores = measured.usage, measured.usage.cores
    proxy, database, cache, generator = (used.processes.get(name, 0.0) for name in (PROXY, DATABASE, CACHE, GENERATOR))
    disk = measured.fsyncs_per_second * (fsync_seconds or 0.0)
    if generator >= BUSY:
        return Limit(GENERATOR, f"the load generator's one core ({generator:.2f}): the proxy can do more than this")
    if proxies and proxy >= BUSY * proxies:
        which = "its one core" if proxies == 1 else f"its {proxies} cores"
        return Limit(PROXY, f"the proxy: {which} used ({proxy:.2f}); the interpreter lock allows no more per process")
    if cache >= BUSY:
        return Limit(CACHE, f"Redis: its one core is used ({cache:.2f})")
    if used.machine >= MACHINE_BUSY * cores:
        shares = {"the proxy": proxy, "MariaDB": database, "Redis": cache, "the load generator": generator, "others": used.others}
        most = max(shares, key=lambda name: shares[name])
        parts = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items(), key=lambda item: -item[1]) if share >= 0.05)
        return Limit(f"machine ({_short(most)})", f"all {cores} cores of the machine are used: {parts}")
    if disk >= DISK_BUSY:
        return Limit(
            "disk", f"the disk: {measured.fsyncs_per_second:.0f} fsyncs/s of {1000 * (fsync_seconds or 0):.2f} ms, {disk:.0%} of the time"
        )
    if in_flight <= 4:
        return Limit("waiting", "nothing: so few requests at a time wait for one round trip after the other")
    return Limit("waiting", f"nothing is at its limit (proxy {proxy:.2f}, MariaDB {database:.2f} of {cores} cores): waiting for answers")


def warnings(measured: Measured, wrong: int) -> list[str]:
    """Return the reasons why a figure may be unreliable, as sentences."""
    found = []
    outcome = measured.outcome
    if measured.usage.others >= NOTABLE * measured.usage.cores:
        found.append(f"other processes of this machine used {measured.usage.others:.2f} cores")
    if measured.usage.stolen >= NOTABLE:
        found.append(f"the host took {measured.usage.stolen:.2f} cores away")
    if outcome.closed:
        found.append(f"the proxy closed {outcome.closed} connections")
    if outcome.unanswered:
        found.append(f"{outcome.unanswered} requests were never answered")
    if wrong:
        found.append(f"{wrong} of {len(outcome.samples)} replies that were looked at are refusals or empty")
    return found


def _short(name: str) -> str:
    return name.removeprefix("the ").removeprefix("load ")
