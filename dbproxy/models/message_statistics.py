"""MessageStatistics: how much there is of what, at a cost that does not grow with the number of messages. Any thread.

Where a day begins in a table is found by ``ids_by_time``; between two such borders the ids say how many rows there are. Where there are no
such borders, samples of the table do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.ids_by_time import Sample, are_in_order, denser_at_the_end, evenly, first_ids, samples
from dbproxy.stores.mysql import DBConn, ReadPool, Row
from dbproxy.stores.mysql.schema import REQUIRED_TABLES, SHARDS

LONGEST_QUERY = 10
"""Seconds after which the server gives a query up."""

COUNTED_ROWS = 50_000
"""Ids of a table up to which rows are counted one by one."""

DENSITY_ROWS = 20_000
"""Newest rows of a table that tell how many of its ids are in use."""

CHECKED, SAMPLES = 60, 500
"""Places at which a large table is looked at, to see whether its rows are in the order of their times, and if they are not."""

_QUARTER = 900
"""Seconds: in every time zone days begin at a multiple of it."""


class TableSize(NamedTuple):
    """A table: rows (an estimate of the server), bytes of rows and of indexes."""

    name: str
    rows: int
    data_bytes: int
    index_bytes: int


class Group(NamedTuple):
    """A group with the number of its members as IMGroup has it."""

    group_id: int
    name: bytes
    members: int


class MessageStatistics:
    """Counts; all reads go to the replicas where there are any."""

    def __init__(self, database: ReadPool) -> None:
        self._database = database

    def users_by_status(self) -> tuple[int, int]:
        """How many users can log in (status 0), and how many cannot."""
        return self._by_status("IMUser")

    def groups_by_status(self) -> tuple[int, int]:
        """How many groups have the status 0, and how many another one."""
        return self._by_status("IMGroup")

    def _by_status(self, table: str) -> tuple[int, int]:
        active, others = self._select(f"select ifnull(sum(ifnull(status,0)=0),0),ifnull(sum(ifnull(status,0)<>0),0) from {table}")[0]
        return int(active), int(others)

    def table_sizes(self) -> list[TableSize]:
        """The sizes of the tables that the proxy uses, as the server estimates them."""
        rows = self._select(
            "select table_name,ifnull(table_rows,0),ifnull(data_length,0),ifnull(index_length,0) from information_schema.tables "
            "where table_schema=database()"
        )
        wanted = {name.lower(): name for name in REQUIRED_TABLES}
        sizes = {wanted.get(name.decode().lower()): (int(count), int(data), int(index)) for name, count, data, index in rows}
        return [TableSize(name, *sizes[name]) for name in REQUIRED_TABLES if name in sizes]

    def largest_groups(self, count: int) -> list[Group]:
        """The groups with most members, of those with status 0; the largest first."""
        rows = self._select(f"select id,name,userCnt from IMGroup where status=0 order by userCnt desc,id limit {count}")
        return [Group(int(group_id), name, int(members)) for group_id, name, members in rows]

    def sent_between(self, kind: ConversationKind, borders: Sequence[int]) -> tuple[list[int], bool]:
        """How many messages of a kind were sent between each of these times and the next one (unix seconds, ascending, quarters of hours);
        and whether that is an estimate, because there are too many of them to be counted.
        """
        totals = [0] * (len(borders) - 1)
        estimated = False
        for shard in range(SHARDS):
            table = kind.table(shard)
            counts, is_estimate = self._database.read(partial(self._sent_in_table, table=table, borders=borders))
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            estimated = estimated or is_estimate
        return totals, estimated

    def _sent_in_table(self, connection: DBConn, table: str, borders: Sequence[int]) -> tuple[list[int], bool]:
        first_id, last_id = map(int, connection.select(f"select ifnull(min(id),0),ifnull(max(id),0) from {table}")[0])
        if last_id - first_id >= COUNTED_ROWS:
            end = last_id + 1
            whole = samples(connection, table, denser_at_the_end(first_id, end, CHECKED), end)
            if not are_in_order(whole):
                later = next((number for number, sample in enumerate(whole) if sample.time >= borders[0]), len(whole))
                begin = whole[max(later - 1, 0)].first_id
                return _spread(samples(connection, table, evenly(begin, end, SAMPLES), end), borders), True
            (first_id,) = first_ids(connection, table, borders[:1])
        if last_id - first_id < COUNTED_ROWS:
            counts = [0] * (len(borders) - 1)
            quarters = connection.select(
                _limited(connection, f"select created div {_QUARTER},count(*) from {table} where id>={first_id} group by 1")
            )
            for quarter, count in quarters:
                index = bisect_right(borders, int(quarter) * _QUARTER) - 1
                if 0 <= index < len(counts):
                    counts[index] += int(count)
            return counts, False
        ids = first_ids(connection, table, borders)
        newest = f"select id from {table} order by id desc limit {DENSITY_ROWS}"
        rows, lowest, highest = map(int, connection.select(f"select count(*),min(id),max(id) from ({newest}) m")[0])
        density = rows / (highest - lowest + 1)
        return [round((end - begin) * density) for begin, end in pairwise(ids)], True

    def _select(self, query: str) -> Sequence[Row]:
        return self._database.read(lambda connection: connection.select(_limited(connection, query)))


def _spread(found: Sequence[Sample], borders: Sequence[int]) -> list[int]:
    """How many of the rows of samples are between each of the times and the next one. The rows of one are spread over the time up to the
    next one, or are all of the same time if that is not later.
    """
    counts = [0.0] * (len(borders) - 1)
    for sample, following in zip(found, [*found[1:], *found[-1:]], strict=True):
        end = max(following.time, sample.time + 1)
        index = max(bisect_right(borders, sample.time) - 1, 0)
        while index < len(counts) and borders[index] < end:
            within = min(end, borders[index + 1]) - max(sample.time, borders[index])
            counts[index] += sample.rows * max(within, 0) / (end - sample.time)
            index += 1
    return [round(count) for count in counts]


def _limited(connection: DBConn, query: str) -> str:
    """The query with a limit on the time that it takes; servers spell it differently."""
    if connection.is_mariadb:
        return f"set statement max_statement_time={LONGEST_QUERY} for {query}"
    return query.replace("select", f"select /*+ max_execution_time({LONGEST_QUERY * 1000}) */", 1)
