"""LastIds notices from its own inserts that others write to a table, and that they have left."""

from __future__ import annotations

from dbproxy.models.conversation_kind import SINGLE_CHAT
from dbproxy.models.last_ids import ALONE_AFTER, LastIds
from dbproxy.models.new_message import NewMessage

TABLE = "IMMessage_1"


def store(last_ids: LastIds, row_id: int) -> None:
    """One message of relation 1 was committed, whose row has this id."""
    last_ids.record(TABLE, row_id, [NewMessage(1, 2, 1, 1, b"x", conversation_id=1, msg_id=row_id)])


def reads_the_ids(last_ids: LastIds) -> bool:
    query = last_ids.query([1])
    assert len(query.statements) == 1
    return not query.cached


def test_a_proxy_that_has_just_started_takes_itself_for_alone() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    assert reads_the_ids(last_ids)
    assert not last_ids.others_write()
    store(last_ids, 77)
    assert not reads_the_ids(last_ids)
    assert not last_ids.others_write()


def test_row_ids_with_a_gap_are_a_sign_of_others_for_a_while() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    store(last_ids, 1)
    store(last_ids, 3)
    for row_id in range(4, 4 + ALONE_AFTER):
        assert reads_the_ids(last_ids)
        assert last_ids.others_write()
        store(last_ids, row_id)
    assert not reads_the_ids(last_ids)
    assert not last_ids.others_write()


def test_a_sign_of_others_in_one_table_leaves_the_others_as_they_are() -> None:
    last_ids = LastIds(SINGLE_CHAT)
    for row_id in (1, 3):
        store(last_ids, row_id)
    last_ids.record("IMMessage_2", 9, [NewMessage(3, 4, 1, 1, b"x", conversation_id=2, msg_id=5)])
    assert last_ids.query([2]).cached == {2: ("IMMessage_2", 5)}
    assert last_ids.others_write()
