"""Where a time begins in a message table. The tables have no index on the time alone, but their ids grow with time. Any thread.

So the range of ids is halved until the border is found. The time of a message is that of the sender's clock: at each step the middle one of
several neighbours counts, so that single wrong clocks do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.stores.mysql import DBConn

NEIGHBOURS = 5
"""Rows whose middle time counts."""


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
