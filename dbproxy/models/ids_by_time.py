"""Where a time begins in a message table. The tables have no index on the time alone, but their ids grow with time. Any thread.

So the range of ids is halved until the border is found. The time of a message is that of the sender's clock: at each step the middle one of
several neighbours counts, so that single wrong clocks do not matter.

Where messages have been inserted again as new rows, as ``dbproxy-audit --merge`` does, old ones are behind newer ones, and there is no such
border. ``samples`` shows that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from dbproxy.stores.mysql import DBConn

NEIGHBOURS = 5
"""Rows whose middle time counts."""

LEAST_IN_ORDER = 0.97
"""Part of the samples of a table whose times rise, at least, if its rows are in the order of their times."""


class Sample(NamedTuple):
    """A range of ids: the first one, about how many rows there are, and the middle time of the first ones (unix seconds)."""

    first_id: int
    rows: float
    time: int


def samples(connection: DBConn, table: str, starts: Sequence[int], end: int) -> list[Sample]:
    """Look at the first rows of ranges of ids: each is from one of ``starts``, which rise, to the next one, the last one to ``end``. Ranges
    without rows are left out. Takes one round trip.
    """
    # Without upper limits, for which the server would estimate how many rows there are.
    queries = [f"select id,created from {table} where id>={start} order by id limit {NEIGHBOURS}" for start in starts]
    found = []
    for start, following, rows in zip(starts, [*starts[1:], end], connection.script(queries), strict=True):
        near = [(int(row_id), int(created)) for row_id, created in rows if int(row_id) < following]
        if near:
            created = sorted(created for _, created in near)
            share = (following - start) / (near[-1][0] + 1 - start) if len(near) == NEIGHBOURS else 1
            found.append(Sample(start, len(near) * share, created[len(created) // 2]))
    return found


def evenly(first_id: int, end: int, count: int) -> list[int]:
    """Return the beginnings of up to ``count`` ranges of equal length from ``first_id``, which is below ``end``, up to there."""
    return list(range(first_id, end, -(-(end - first_id) // count)))


def denser_at_the_end(first_id: int, end: int, count: int) -> list[int]:
    """As ``evenly``, with further ones, which are the closer to each other the nearer they are to the end."""
    halves = {end - (1 << power) for power in range((end - first_id).bit_length() - 1)}
    return sorted({*evenly(first_id, end, count), *halves})


def are_in_order(found: Sequence[Sample]) -> bool:
    """Whether nearly all of these times, of a whole table, are in the order of the ids, so that ``first_ids`` can be relied on."""
    ends: list[int] = []  # [k]: the smallest time at which a rising sequence of k + 1 of them ends
    for sample in found:
        place = bisect_right(ends, sample.time)
        ends[place : place + 1] = [sample.time]
    return len(ends) >= LEAST_IN_ORDER * len(found)


def first_ids(connection: DBConn, table: str, times: Sequence[int]) -> list[int]:
    """For each of these times (unix seconds): the id of the first row of a message table from which on messages are not older, or the id
    behind the last one. Takes one round trip for each halving of the range of ids, however many times there are.
    """
    lowest, highest = connection.select(f"select min(id),max(id) from {table}")[0]
    if lowest is None:
        return [1] * len(times)
    begins = [int(lowest) - 1] * len(times)  # rows up to here are older
    ends = [int(highest) + 1] * len(times)  # rows from here on are not
    while pending := [index for index, begin in enumerate(begins) if ends[index] - begin > 1]:
        middles = [(begins[index] + ends[index]) // 2 for index in pending]
        queries = [f"select id,created from {table} where id>={middle} order by id limit {NEIGHBOURS}" for middle in middles]
        for index, middle, rows in zip(pending, middles, connection.script(queries), strict=True):
            near = [(int(row_id), int(created)) for row_id, created in rows if int(row_id) < ends[index]]
            created = sorted(created for _, created in near)
            if not near or created[len(created) // 2] >= times[index]:
                ends[index] = middle
            else:
                begins[index] = near[0][0]
    # Where the middle one of the neighbours is not older, the first ones may be.
    queries = [f"select id,created from {table} where id>={end} order by id limit {NEIGHBOURS}" for end in ends]
    for index, rows in enumerate(connection.script(queries)):
        ends[index] = next((int(row_id) for row_id, created in rows if int(created) >= times[index]), ends[index])
    return ends
