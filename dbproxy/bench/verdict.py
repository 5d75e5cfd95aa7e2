"""What limits a measurement, in words: judged by who used the processors and how often the disk was waited for. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.bench.load import GENERATOR, Measured
from dbproxy.bench.site import CACHE, DATABASE, PROXY

BUSY = 0.85
"""From this share of a processor on, a process that can use only one is at its limit."""

MACHINE_BUSY = 0.93
"""From this share of all processors on, the machine is."""

DISK_BUSY = 0.5
"""From this share of the time on that is spent in fsync, one after the other, the disk counts as the limit."""

NOTABLE = 0.15
"""Processors used by others, or taken by the host of a virtual machine, from which on figures are doubtful."""


@dataclass(frozen=True)
class Verdict:
    """Who is at the limit, in a word for tables, and in a sentence."""

    who: str
    why: str


def judge(measured: Measured, in_flight: int, proxies: int, fsync_seconds: float | None) -> Verdict:
    """Say what limits. ``proxies``: proxy processes, each of which can use one processor; ``fsync_seconds``: of one fsync, if known."""
    used, cores = measured.usage, measured.usage.cores
    proxy, database, cache, generator = (used.processes.get(name, 0.0) for name in (PROXY, DATABASE, CACHE, GENERATOR))
    disk = measured.fsyncs_per_second * (fsync_seconds or 0.0)
    if generator >= BUSY:
        return Verdict(GENERATOR, f"the load generator's one core ({generator:.2f}): the proxy can do more than this")
    if proxies and proxy >= BUSY * proxies:
        which = "its one core" if proxies == 1 else f"its {proxies} cores"
        return Verdict(PROXY, f"the proxy: {which} used ({proxy:.2f}); the interpreter lock allows no more per process")
    if cache >= BUSY:
        return Verdict(CACHE, f"Redis: its one core is used ({cache:.2f})")
    if used.machine >= MACHINE_BUSY * cores:
        shares = {"the proxy": proxy, "MariaDB": database, "Redis": cache, "the load generator": generator, "others": used.others}
        most = max(shares, key=lambda name: shares[name])
        parts = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items(), key=lambda item: -item[1]) if share >= 0.05)
        return Verdict(f"machine ({_short(most)})", f"all {cores} cores of the machine are used: {parts}")
    if disk >= DISK_BUSY:
        return Verdict(
            "disk", f"the disk: {measured.fsyncs_per_second:.0f} fsyncs/s of {1000 * (fsync_seconds or 0):.2f} ms, {disk:.0%} of the time"
        )
    if in_flight <= 4:
        return Verdict("waiting", "nothing: so few requests at a time wait for one round trip after the other")
    return Verdict("waiting", f"nothing is at its limit (proxy {proxy:.2f}, MariaDB {database:.2f} of {cores} cores): waiting for answers")


def doubts(measured: Measured, wrong: int) -> list[str]:
    """What makes a figure doubtful, as sentences."""
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
