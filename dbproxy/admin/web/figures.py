"""Figures: what the overview shows. Any thread."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.admin.administration import Administration
from dbproxy.admin.messages.shown_messages import ConversationRow
from dbproxy.admin.statistics import BigGroup, DayCount, Overview, Statistics

DAYS = 30
LISTED = 10

KEPT = 15.0
"""Seconds for which figures are shown again: everybody who reloads the page would ask the database for some 100,000 rows otherwise."""

_SHARD = re.compile(r"_\d$")


@dataclass(frozen=True, slots=True)
class TableGroup:
    """The tables of one kind, the shards of messages together; rows and bytes are estimates of the server."""

    name: str
    rows: int
    size: int
    """Bytes, with the indexes."""
    growth: int | None
    """Bytes a day, as the messages of the last days suggest; None: not a table of messages, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown, as it was at ``taken`` (unix seconds)."""

    overview: Overview
    days: Sequence[DayCount]
    groups: Sequence[BigGroup]
    conversations: Sequence[ConversationRow]
    tables: Sequence[TableGroup]
    taken: float


class FigureCache:
    """The figures of the last seconds."""

    def __init__(self) -> None:
        self._last: Figures | None = None

    def get(self, administration: Administration) -> Figures:
        """Return the figures, from the database if those known are too old.

        Raises:
            StoreError: the database did not answer.

        """
        last = self._last
        if last is not None and 0 <= time.time() - last.taken < KEPT:
            return last
        statistics = Statistics(administration)
        overview, days = statistics.overview(), statistics.messages_per_day(DAYS)
        groups, conversations = statistics.biggest_groups(LISTED), statistics.active_conversations(LISTED)
        self._last = figures = Figures(overview, days, groups, conversations, tables_of(overview, days), time.time())
        return figures


def tables_of(overview: Overview, days: Sequence[DayCount]) -> list[TableGroup]:
    """Return the tables by kind, the largest first."""
    rows: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for table in overview.tables:
        name = _SHARD.sub("", table.name)
        rows[name] = rows.get(name, 0) + table.rows
        sizes[name] = sizes.get(name, 0) + table.data_bytes + table.index_bytes
    whole_days = days[:-1]  # today is not over
    sent = {"IMMessage": sum(day.single for day in whole_days), "IMGroupMessage": sum(day.group for day in whole_days)}
    return sorted(
        (TableGroup(name, rows[name], size, _growth(size, rows[name], sent.get(name), len(whole_days))) for name, size in sizes.items()),
        key=lambda table: (-table.size, table.name),
    )


def _growth(size: int, rows: int, sent: int | None, days: int) -> int | None:
    return None if sent is None or not rows or not days else size * sent // (rows * days)
