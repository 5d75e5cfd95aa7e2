"""Statistics: how many users, groups and messages there are, and where most is going on. Any thread."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.messages.conversation_finder import ConversationFinder
from dbproxy.admin.messages.shown_messages import ConversationRow
from dbproxy.models.message_reader import KINDS, MessageReader
from dbproxy.models.message_statistics import MessageStatistics, TableSize

MOST_DAYS = 366

MOST_LISTED = 100
"""Groups or conversations in one list, at most."""

ACTIVE_ROWS = 20_000
"""Newest rows of each table in which active conversations are looked for."""


@dataclass(frozen=True, slots=True)
class Overview:
    """How much there is. Rows of tables, and so messages, are estimates of the server."""

    users_active: int
    users_disabled: int
    groups: int
    groups_dismissed: int
    messages_single: int
    messages_group: int
    tables: tuple[TableSize, ...]


@dataclass(frozen=True, slots=True)
class DayCount:
    """Messages of one day of the local time zone."""

    day: str
    """ISO 8601."""
    single: int
    group: int
    estimated: bool
    """Whether the numbers follow from ids, because there are too many messages to be counted."""


@dataclass(frozen=True, slots=True)
class BigGroup:
    """A group and its number of members."""

    group_id: int
    name: str
    members: int


class Statistics:
    """Figures about an installation; each method asks for a bounded number of rows and takes about a second at most."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        installation = administration.installation
        slave = installation.slave
        self._statistics = MessageStatistics(slave)
        self._reader = MessageReader(slave)
        self._finder = ConversationFinder(installation.users, installation.user_lookup, self._reader)

    def overview(self) -> Overview:
        """Return how many users, groups and messages there are, and the sizes of the tables."""
        active, disabled = self._statistics.users_by_status()
        groups, dismissed = self._statistics.groups_by_status()
        tables = tuple(self._statistics.table_sizes())
        messages = [sum(table.rows for table in tables if table.name.startswith(prefix)) for prefix in ("IMMessage_", "IMGroupMessage_")]
        return Overview(active, disabled, groups, dismissed, messages[0], messages[1], tables)

    def messages_per_day(self, days: int = 30, today: date | None = None) -> list[DayCount]:
        """Return the messages of the last ``days`` days up to ``today``, the oldest day first.

        Raises:
            RefusedError: ``days`` is not between 1 and ``MOST_DAYS``.

        """
        if not 0 < days <= MOST_DAYS:
            raise RefusedError(f"{days} days: give a number from 1 to {MOST_DAYS}")
        last = today or date.today()
        shown = [last - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
        borders = [int(datetime.combine(day, time()).astimezone().timestamp()) for day in (*shown, last + timedelta(days=1))]
        (single, single_estimated), (group, group_estimated) = (self._statistics.sent_between(kind, borders) for kind in KINDS.values())
        return [
            DayCount(day.isoformat(), one, many, single_estimated or group_estimated)
            for day, one, many in zip(shown, single, group, strict=True)
        ]

    def biggest_groups(self, count: int = 10) -> list[BigGroup]:
        """Return the groups with most members, the largest first."""
        groups = self._statistics.largest_groups(_checked(count))
        return [BigGroup(group.group_id, group.name.decode(errors="replace"), group.members) for group in groups]

    def active_conversations(self, count: int = 10, hours: int = 24) -> list[ConversationRow]:
        """Return the conversations with most messages of the last ``hours``, as far as they are among the newest ``ACTIVE_ROWS`` rows of
        each table: ``at_least`` says that there may be more. Where conversations may not be read, it is not said who the people are.
        """
        since = int(datetime.now().timestamp()) - hours * 3600
        found = []
        complete = True
        for name, kind in KINDS.items():
            active, all_seen = self._reader.newest(kind, ACTIVE_ROWS, since)
            found += [(name, conversation) for conversation in active]
            complete = complete and all_seen
        found.sort(key=lambda entry: (-entry[1].messages, -entry[1].last, entry[0], entry[1].conversation_id))
        rows = self._finder.rows(found[: _checked(count)])
        if not self._administration.installation.config.admin.read_messages:
            rows = [_without_people(row) for row in rows]
        return [dataclasses.replace(row, at_least=not complete) for row in rows]


def _without_people(row: ConversationRow) -> ConversationRow:
    if row.kind == "group":
        return row
    return dataclasses.replace(row, title="two people", conversation_id=0, first_user=None, second_user=None)


def _checked(count: int) -> int:
    if not 0 < count <= MOST_LISTED:
        raise RefusedError(f"{count} entries: give a number from 1 to {MOST_LISTED}")
    return count
