"""Figures of dbproxy-admin: what is counted, what is estimated, and that neither grows with the tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from administering import administration_of

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.statistics import Statistics
from dbproxy.models import message_statistics
from dbproxy.models.ids_by_time import first_ids
from dbproxy.testing import Stack, seed

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3], 10: [1, 2]})]

TODAY = date(2026, 3, 31)
"""Two days after the clocks are changed in Europe."""


@pytest.fixture
def statistics(stack: Stack) -> Iterator[Statistics]:
    with administration_of(stack) as administration:
        yield Statistics(administration)


def at(days_ago: int, hour: int = 12) -> int:
    return int((datetime.combine(TODAY - timedelta(days=days_ago), datetime.min.time()) + timedelta(hours=hour)).astimezone().timestamp())


def per_day(statistics: Statistics, days: int) -> list[tuple[str, int, int]]:
    return [(day.day, day.single, day.group) for day in statistics.messages_per_day(days, TODAY)]


def test_users_groups_and_tables_are_counted(stack: Stack, statistics: Statistics) -> None:
    seed.user(stack, 4, "dave", status=3)
    stack.rows("update IMGroup set status=1 where id=10")
    overview = statistics.overview()
    assert (overview.users_active, overview.users_disabled, overview.groups, overview.groups_dismissed) == (3, 1, 1, 1)
    assert [table.name for table in overview.tables if table.name.startswith("IMMessage_")] == [f"IMMessage_{k}" for k in range(8)]
    assert all(table.data_bytes > 0 for table in overview.tables)


def test_messages_are_counted_by_day_of_the_local_time(stack: Stack, statistics: Statistics) -> None:
    seed.relation(stack, 1, 2, relate_id=3)
    seed.messages(stack, 1, 2, ["first second"], relate_id=3, first_msg_id=5, created=at(2, 0))
    seed.messages(stack, 1, 2, ["last second"], relate_id=3, first_msg_id=6, created=at(1, 0) - 1)
    seed.messages(stack, 1, 2, ["old"] * 4, relate_id=3, created=at(3, 12))
    seed.group_messages(stack, 1, 9, ["a", "b"], created=at(1))
    seed.group_messages(stack, 1, 10, ["c"], created=at(0))
    assert per_day(statistics, 3) == [("2026-03-29", 2, 0), ("2026-03-30", 0, 2), ("2026-03-31", 0, 1)]
    assert per_day(statistics, 1) == [("2026-03-31", 0, 1)]
    assert not any(day.estimated for day in statistics.messages_per_day(3, TODAY))
    with pytest.raises(RefusedError, match="0 days: give a number from 1 to 366"):
        statistics.messages_per_day(0)


def test_of_many_messages_the_ids_say_how_many_there_are(stack: Stack, statistics: Statistics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_statistics, "COUNTED_ROWS", 100)
    sent = {4: 700, 3: 1, 2: 250, 1: 0, 0: 300}
    for days_ago, count in sent.items():
        seed.group_messages(stack, 1, 9, ["x"] * count, created=at(days_ago))
    days = statistics.messages_per_day(4, TODAY)
    assert [day.group for day in days] == [1, 250, 0, 300]
    assert all(day.estimated for day in days)
    stack.rows("delete from IMGroupMessage_1 where id%2=0")
    estimate = [day.group for day in statistics.messages_per_day(4, TODAY)]
    assert all(abs(guess - count / 2) <= 2 for guess, count in zip(estimate, [1, 250, 0, 300], strict=True))


def test_messages_that_were_inserted_again_as_new_rows_count_for_the_day_on_which_they_were_sent(
    stack: Stack, statistics: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_statistics, "COUNTED_ROWS", 100)
    for days_ago in range(19, -1, -1):
        seed.group_messages(stack, 1, 9, ["x"] * 300, created=at(days_ago))
    stack.rows("update IMGroupMessage_1 set id=id+10000 where created<%s order by id desc", (at(14, 0),))  # as dbproxy-audit --merge does
    days = statistics.messages_per_day(20, TODAY)
    assert all(day.estimated and abs(day.group - 300) <= 15 for day in days)
    assert abs(sum(day.group for day in days) - 6000) <= 20


def test_senders_with_wrong_clocks_do_not_move_the_border_of_a_day(stack: Stack) -> None:
    seed.group_messages(stack, 1, 9, ["x"] * 2000, created=1000)
    stack.rows("update IMGroupMessage_1 set created=if(id%20=0,0,4000000000) where id%10=0")
    with administration_of(stack) as administration, administration.installation.slave.connection() as connection:
        expected = [1, 502, 1502, 2001]
        found = first_ids(connection, "IMGroupMessage_1", [1000, 1501, 2501, 3001])
        assert all(abs(one - other) <= 5 for one, other in zip(found, expected, strict=True))
        assert first_ids(connection, "IMGroupMessage_2", [5, 6]) == [1, 1]


def test_the_biggest_groups_come_first_without_dismissed_ones(stack: Stack, statistics: Statistics) -> None:
    seed.group(stack, 11, [1, 2, 3], name="小组 <b>")
    seed.group(stack, 12, [1, 2, 3], status=1)
    biggest = statistics.biggest_groups(2)
    assert [(group.group_id, group.name, group.members) for group in biggest] == [
        (9, "group 9", 3),
        (11, "小组 <b>", 3),
    ]
    with pytest.raises(RefusedError, match="101 entries"):
        statistics.biggest_groups(101)


def test_conversations_with_most_messages_lately_come_first(stack: Stack, statistics: Statistics, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    seed.relation(stack, 1, 2, relate_id=3)
    seed.messages(stack, 1, 2, ["x"] * 5, relate_id=3, created=now - 7200)
    seed.group_messages(stack, 1, 9, ["x"] * 3, created=now - 100)
    seed.group_messages(stack, 1, 10, ["x"] * 40, created=now - 100_000)
    active = statistics.active_conversations()
    assert [(row.title, row.messages, row.at_least) for row in active] == [("Alice — Bob", 5, False), ("group 9", 3, False)]
    assert statistics.active_conversations(1, hours=48)[0].title == "group 10"
    monkeypatch.setattr("dbproxy.admin.statistics.ACTIVE_ROWS", 2)
    assert [(row.title, row.messages, row.at_least) for row in statistics.active_conversations()] == [
        ("group 9", 2, True),
        ("Alice — Bob", 2, True),
    ]


def test_where_reading_is_off_the_figures_do_not_say_who_writes_to_whom(stack: Stack) -> None:
    now = int(time.time())
    seed.relation(stack, 1, 2, relate_id=3)
    seed.messages(stack, 1, 2, ["x"], relate_id=3, created=now)
    seed.group_messages(stack, 1, 9, ["x"], created=now - 1)
    with administration_of(stack, {"AdminReadMessages": "off"}) as administration:
        rows = Statistics(administration).active_conversations()
    assert [(row.title, row.conversation_id, row.first_user, row.second_user) for row in rows] == [
        ("two people", 0, None, None),
        ("group 9", 9, None, None),
    ]
