"""What becomes of ids that have been taken from Redis, and of counters that are wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbproxy.config import load_config
from dbproxy.models.msg_ids import MsgIds
from dbproxy.models.names import msg_id_key
from dbproxy.models.new_message import NewMessage
from dbproxy.stores.redis import CacheManager, CachePool
from dbproxy.testing import Stack

CONVERSATIONS = (5, 6, 5)


@pytest.fixture
def unread(dbproxy_stack: Stack) -> Iterator[CachePool]:
    dbproxy_stack.reset()
    caches = CacheManager(load_config(dbproxy_stack.write_config()))
    yield caches.unread
    caches.close()


def new_messages(*conversation_ids: int) -> list[NewMessage]:
    return [NewMessage(1, 2, 1, 0, b"text", conversation_id=conversation_id) for conversation_id in conversation_ids]


def counters(unread: CachePool) -> tuple[bytes | None, ...]:
    return tuple(unread.execute([("GET", msg_id_key(conversation_id)) for conversation_id in (5, 6)]))


def test_reserved_ids_are_used_when_the_transaction_begins_again(unread: CachePool) -> None:
    sent = new_messages(*CONVERSATIONS)
    msg_ids = MsgIds(unread, msg_id_key, sent)
    msg_ids.reserve()
    msg_ids.reserve()
    msg_ids.assign({}, ())
    assert [message.msg_id for message in sent] == [1, 1, 2]
    assert counters(unread) == (b"2", b"1")


def test_new_ids_are_reserved_when_another_proxy_has_stored_higher_ones(unread: CachePool) -> None:
    sent = new_messages(*CONVERSATIONS)
    msg_ids = MsgIds(unread, msg_id_key, sent)
    msg_ids.reserve()
    faster = new_messages(5, 5, 5)
    others = MsgIds(unread, msg_id_key, faster)
    others.assign({}, ())
    assert [message.msg_id for message in faster] == [3, 4, 5]
    msg_ids.reserve()
    msg_ids.assign({5: 5}, ())
    assert [message.msg_id for message in sent] == [6, 1, 7]
    assert counters(unread) == (b"7", b"1")


@pytest.mark.parametrize("counter", [None, b"3", b"no number", b"4294967295"], ids=["lost", "old", "broken", "at its end"])
def test_a_wrong_counter_goes_on_from_what_is_stored(unread: CachePool, counter: bytes | None) -> None:
    if counter is not None:
        unread.execute([("SET", msg_id_key(5), counter)])
    sent = new_messages(*CONVERSATIONS)
    msg_ids = MsgIds(unread, msg_id_key, sent)
    msg_ids.reserve()
    msg_ids.assign({5: 40}, ())
    assert [message.msg_id for message in sent] == [41, 1, 42]
    assert counters(unread) == (b"42", b"1")


def test_a_new_conversation_begins_at_1_whatever_was_left_of_a_former_one(unread: CachePool) -> None:
    unread.execute([("SET", msg_id_key(5), 77)])
    sent = new_messages(0, 6, 0)
    msg_ids = MsgIds(unread, msg_id_key, sent)
    msg_ids.reserve()
    assert counters(unread) == (b"77", b"1")
    for message, conversation_id in zip(sent, CONVERSATIONS, strict=True):
        message.conversation_id = conversation_id
    msg_ids.assign({}, {5})
    assert [message.msg_id for message in sent] == [1, 1, 2]
    assert counters(unread) == (b"2", b"1")
