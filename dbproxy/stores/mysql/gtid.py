"""GTID positions: what a server has committed, as text of MariaDB (``0-1-17,1-1-3``) or of MySQL (``uuid:1-5:7,uuid:tag:1``). Pure
functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

Intervals = list[tuple[int, int]]


def without_blanks(position: str) -> str:
    """Return a position in one line: MySQL begins a line for each server."""
    return "".join(position.split())


def has_reached(applied: str, wanted: str) -> bool:
    """Whether a server with the position ``applied`` has everything up to ``wanted``, which comes from a server of the same engine.

    Raises:
        ValueError: one of them is no position.

    """
    if not wanted:
        return True
    if ":" not in wanted:
        own = _domains(applied)
        return all(own.get(domain, -1) >= number for domain, number in _domains(wanted).items())
    sets = _sets(applied)
    return all(_covered(intervals, sets.get(source, [])) for source, intervals in _sets(wanted).items())


def _domains(position: str) -> dict[str, int]:
    """Of MariaDB: domain → sequence number."""
    numbers: dict[str, int] = {}
    for gtid in filter(None, position.split(",")):
        domain, _, number = gtid.strip().split("-")
        numbers[domain] = max(int(number), numbers.get(domain, -1))
    return numbers


def _sets(position: str) -> dict[str, Intervals]:
    """Of MySQL: server (with tag) → intervals of transaction numbers, in ascending order."""
    sets: dict[str, Intervals] = {}
    for gtids in filter(None, without_blanks(position).split(",")):
        server, *parts = gtids.lower().split(":")
        source = server
        for part in parts:
            if part[0].isdigit():
                sets.setdefault(source, []).append(_interval(part))
            else:  # a tag, for the intervals that follow
                source = f"{server}:{part}"
    for intervals in sets.values():
        intervals.sort()
    return sets


def _interval(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _covered(wanted: Intervals, applied: Intervals) -> bool:
    joined = list(_joined(applied))
    return all(any(low <= first and last <= high for low, high in joined) for first, last in wanted)


def _joined(intervals: Intervals) -> Iterator[tuple[int, int]]:
    """Yield the intervals, those that touch each other as one."""
    current: tuple[int, int] | None = None
    for first, last in intervals:
        if current is not None and first <= current[1] + 1:
            current = (current[0], max(last, current[1]))
            continue
        if current is not None:
            yield current
        current = (first, last)
    if current is not None:
        yield current
