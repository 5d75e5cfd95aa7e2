"""LastIds notices from its own inserts that others write to a table, and that they have left."""

from __future__ import annotations

from typing import cast

from dbproxy.models.conversation_kind import SINGLE_CHAT
from dbproxy.models.last_ids import ALONE_AFTER, SIGN_LASTS, LastIds
from dbproxy.models.new_message import NewMessage
from dbproxy.stores.mysql import DBConn

TABLE = "IMMessage_1"


def store(last_ids: LastIds, row_id: int) -> None:
    """One message of relation 1 was committed, whose row has this id."""
    last_ids.record(TABLE, row_id, [NewMessage(1, 2, 1, 1, b"x", conversation_id=1, msg_id=row_id)])


def reads_the_ids(last_ids: LastIds) -> bool:
    return not last_ids.query([1]).cached


def look(last_ids: LastIds, newest: bytes) -> None:
    """The next transaction finds this row to be the newest, and whatever largest id."""
    query = last_ids.query([1])
    assert list(query.newest) == [TABLE]
    rows: list[list[tuple[bytes, ...]]] = [[(newest,)], [(b"1", b"0|1")]]
    last_ids.read(cast("DBConn", NoConnection()), query, rows[: len(query.statements)])


class NoConnection:
    """Reads the largest ids."""

    def select(self, statement: str) -> list[tuple[bytes, bytes]]:
        del statement
        return [(b"1", b"0|1")]


class Clock:
    """Stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_proxy_that_has_just_started_takes_itself_for_alone() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    assert reads_the_ids(last_ids)
    assert not last_ids.others_write()
    store(last_ids, 77)
    assert not reads_the_ids(last_ids)
    assert not last_ids.others_write()


def test_after_a_gap_the_ids_are_read_for_a_while_which_is_no_sign_of_others_yet() -> None:
    """An insert of ours may have been rolled back."""
    last_ids = LastIds(SINGLE_CHAT)
    store(last_ids, 1)
    store(last_ids, 3)
    for row_id in range(4, 4 + ALONE_AFTER):
        assert reads_the_ids(last_ids)
        look(last_ids, b"%d|1|%d|1" % (row_id - 1, row_id - 1))  # ours
        assert not last_ids.others_write()
        store(last_ids, row_id)
    assert not reads_the_ids(last_ids)


def test_a_newest_row_that_is_not_ours_is_a_sign_of_others_which_gaps_let_last() -> None:
    clock = Clock()
    last_ids = LastIds(SINGLE_CHAT, clock)
    store(last_ids, 1)
    look(last_ids, b"2|1|2|1")
    assert last_ids.others_write()
    clock.now += SIGN_LASTS - 1
    store(last_ids, 4)  # a gap
    clock.now += SIGN_LASTS - 1
    assert last_ids.others_write()
    assert len(last_ids.query([1]).statements) == 1  # the newest row is not looked at meanwhile
    clock.now += 2
    assert not last_ids.others_write()
    store(last_ids, 6)
    assert not last_ids.others_write()
    look(last_ids, b"7|1|7|1")
    assert last_ids.others_write()


def test_a_busy_table_of_two_proxies_is_noticed_although_it_has_gaps_all_the_time() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    store(last_ids, 1)
    store(last_ids, 3)
    look(last_ids, b"4|1|4|1")
    assert last_ids.others_write()


def test_a_row_of_ours_that_was_not_recorded_yet_is_taken_back() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    store(last_ids, 1)
    look(last_ids, b"2|1|2|1")
    assert last_ids.others_write()
    store(last_ids, 2)
    assert not last_ids.others_write()


def test_a_row_that_was_deleted_is_no_sign_of_others() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    store(last_ids, 5)
    look(last_ids, b"4|1|4|1")
    assert not last_ids.others_write()


def test_a_gap_in_one_table_leaves_the_others_as_they_are() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    for row_id in (1, 3):
        store(last_ids, row_id)
    last_ids.record("IMMessage_2", 9, [NewMessage(3, 4, 1, 1, b"x", conversation_id=2, msg_id=5)])
    assert last_ids.query([2]).cached == {2: ("IMMessage_2", 5)}
