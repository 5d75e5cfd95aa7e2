"""Requests that no worker has begun can be taken back, to be answered by another process; the order of a conversation is kept."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire.commands import MSG_DATA
from dbproxy.wire.pb.buddy_pb2 import IMUsersInfoReq
from dbproxy.work.batch import Batch
from dbproxy.work.handler_map import FollowUp, Handler
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits
from dbproxy.work.request_queues import LARGE_BODY, RequestQueues

MESSAGE = Handler.batch(MSG_DATA, lambda requests: [None] * len(requests))


def task(number: int, queue: str, key: Hashable = None, body: bytes = b"") -> ProxyTask:
    made = ProxyTask(MESSAGE, number, "peer", 0, body, float(number))
    made.queue, made.ordering_key = queue, key
    return made


def queues(active: int = 2, limit: int = 4) -> RequestQueues:
    return RequestQueues({}, QueueLimits(limit, active, 1))


def numbers(tasks: Sequence[ProxyTask]) -> list[int]:
    return [entry.conn_uuid for entry in tasks]


def taken(waiting: RequestQueues) -> list[int]:
    batch = waiting.take(0)
    assert isinstance(batch, Batch)
    return numbers(batch.tasks)


def test_everything_that_waits_or_is_held_is_taken_back_in_the_order_of_arrival() -> None:
    waiting = queues()
    waiting.put([task(1, "a", "key"), task(2, "b"), task(3, "a", "key"), task(4, "a", body=bytes(LARGE_BODY + 1))])
    waiting.held.add([task(0, "b")])
    moved = waiting.take_back(9.0)
    assert numbers(moved) == [0, 1, 2, 3, 4]
    assert [entry.received_at for entry in moved] == [9.0, 1.0, 2.0, 3.0, 4.0]  # the time of what was held was the peer's
    assert (waiting.outstanding, waiting.waiting_bytes, waiting.large_bytes, waiting.held.bytes) == (0, 0, 0, 0)
    assert waiting.take(0) is None
    assert not waiting.has_ready


def test_what_has_been_begun_stays() -> None:
    waiting = queues(limit=1)
    waiting.put([task(1, "a", "key"), task(2, "a", "key"), task(3, "b")])
    batch = waiting.take(0)
    assert batch is not None
    follow_up = task(4, "audio")
    follow_up.follow_up = FollowUp("audio", IMUsersInfoReq, IMUsersInfoReq)
    waiting.put([follow_up])
    assert numbers(waiting.take_back(9.0)) == [2, 3]
    assert waiting.ordering_keys_at_work() == ["key"]
    assert taken(waiting) == [4]
    waiting.finish(batch)
    assert waiting.ordering_keys_at_work() == []
    waiting.put([task(5, "a", "key")])
    assert taken(waiting) == [5]


def test_a_blocked_key_waits_for_the_other_process_and_the_others_do_not() -> None:
    waiting = queues()
    waiting.ordering.block(["key"])
    waiting.put([task(1, "a", "key"), task(2, "b", "other"), task(3, "a", "key")])
    assert taken(waiting) == [2]
    assert waiting.take(0) is None
    assert waiting.oldest_waiting() == 1.0
    waiting.ordering.unblock(["key", "never blocked"])
    assert taken(waiting) == [1, 3]


def test_a_blocked_key_for_which_nothing_waits_is_forgotten_when_it_is_free() -> None:
    waiting = queues()
    waiting.ordering.block(["key", "other"])
    waiting.ordering.unblock()
    waiting.put([task(1, "a", "key")])
    assert taken(waiting) == [1]


@given(st.integers(0, 2**32))
def test_no_request_is_lost_doubled_or_reordered_between_two_processes(seed: int) -> None:
    chance = random.Random(seed)
    old, new = queues(limit=3, active=4), queues(limit=3, active=4)
    count = chance.randrange(1, 40)
    old.put(task(number, chance.choice("ab"), chance.choice([None, "x", "y"])) for number in range(count))
    at_work = [batch for batch in (old.take(0) for _ in range(chance.randrange(5))) if batch is not None]
    begun = [entry for batch in at_work for entry in batch.tasks]
    moved = old.take_back(99.0)
    keys = old.ordering_keys_at_work()
    new.ordering.block(keys)
    new.put(moved)
    finished: list[ProxyTask] = []
    while len(finished) < len(moved):
        batch = new.take(0)
        if batch is None:
            new.ordering.unblock([keys.pop()])
            continue
        assert not {entry.ordering_key for entry in batch.tasks} & set(keys)
        finished += batch.tasks
        new.finish(batch)
    assert sorted(numbers(begun + finished)) == list(range(count))
    for key in "xy":
        order = numbers([entry for entry in begun + finished if entry.ordering_key == key])
        assert order == sorted(order)
