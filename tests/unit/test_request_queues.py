"""RequestQueues: fairness, limits, order, pausing, holding."""

from __future__ import annotations

import random
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire.commands import MSG_DATA
from dbproxy.wire.pb.buddy_pb2 import IMUsersInfoReq
from dbproxy.work.batch import WAITING_AFTER, Batch
from dbproxy.work.handler_map import FollowUp, Handler
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits, QueueSettings
from dbproxy.work.request_queues import MAX_ACTIVE_BYTES, MAX_BATCH_BYTES, MAX_SUSPENDED, RequestQueues

MESSAGE = Handler.batch(MSG_DATA, lambda requests: [None] * len(requests))


def task(number: int, queue: str, key: Hashable = None) -> ProxyTask:
    made = ProxyTask(MESSAGE, number, "peer", 0, b"", 0.0)
    made.queue, made.ordering_key = queue, key
    return made


def queues(active: int = 2, limit: int = 4, external: int = 2, **settings: QueueSettings) -> RequestQueues:
    return RequestQueues(settings, QueueLimits(limit, active, external))


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [entry.conn_uuid for entry in batch.tasks]


def test_a_batch_is_whatever_waits_up_to_the_limit() -> None:
    waiting = queues(limit=4)
    waiting.put(task(n, "a") for n in range(6))
    assert numbers(waiting.take(0)) == [0, 1, 2, 3]
    assert numbers(waiting.take(0)) == [4, 5]
    assert waiting.take(0) is None
    assert waiting.waiting == 0


def test_a_batch_with_long_replies_takes_only_part_of_what_waits() -> None:
    waiting = queues(active=9, limit=64, long=QueueSettings(long_replies=True))
    waiting.put(task(n, "long") for n in range(120))
    assert [len(numbers(waiting.take(0))) for _ in range(6)] == [40, 26, 18, 16, 16, 4]
    assert waiting.take(0) is None
    waiting.put(task(n, "long") for n in range(300))
    assert len(numbers(waiting.take(0))) == 64
    waiting.put([task(0, "alone")])
    waiting.take(0)
    assert numbers(waiting.take(0)) == [0]


def test_queues_take_turns_whatever_waits_in_them() -> None:
    waiting = queues(active=9, limit=2)
    waiting.put([task(n, "busy") for n in range(6)] + [task(100, "rare")])
    assert numbers(waiting.take(0)) == [0, 1]
    assert numbers(waiting.take(0)) == [100]
    assert numbers(waiting.take(0)) == [2, 3]


def test_only_so_many_batches_compute_and_waiting_ones_do_not_count() -> None:
    waiting = queues(active=1, limit=1)
    waiting.put(task(n, f"queue {n}") for n in range(4))
    first = waiting.take(0)
    assert numbers(first) == [0]
    assert waiting.take(WAITING_AFTER * 100) is None  # however long it computes
    assert waiting.next_poll(1) == WAITING_AFTER
    assert first is not None
    first.waiting_since = 1.0
    assert waiting.take(1 + WAITING_AFTER / 2) is None
    assert waiting.next_poll(1 + WAITING_AFTER / 2) == pytest.approx(WAITING_AFTER / 2)
    second = waiting.take(1 + WAITING_AFTER)
    assert numbers(second) == [1]
    first.waiting_since = 0.0  # it computes again, beside the second
    assert waiting.has_too_many(2)
    assert waiting.take(2) is None
    first.waited, first.waiting_since = WAITING_AFTER, 2.0
    assert second is not None
    waiting.finish(second)
    assert numbers(waiting.take(2.001)) == [2]  # what has waited for long before counts as waiting at once


def test_a_finished_batch_makes_room() -> None:
    waiting = queues(active=1, limit=1)
    waiting.put([task(1, "a"), task(2, "b")])
    batch = waiting.take(0)
    assert batch is not None
    waiting.finish(batch)
    assert numbers(waiting.take(0)) == [2]


def test_external_queue_is_bounded_for_itself_and_holds_up_nobody() -> None:
    waiting = queues(active=1, outside=QueueSettings(external=True))
    waiting.put([task(n, "outside") for n in range(3)] + [task(100, "other")])
    assert {numbers(waiting.take(0))[0] for _ in range(3)} == {0, 1, 100}
    assert waiting.take(10) is None  # however old its batches are
    assert waiting.waiting == 1


def test_tasks_of_one_key_wait_for_each_other_across_queues() -> None:
    waiting = queues(active=9)
    waiting.put([task(1, "text", "k"), task(2, "sound", "k"), task(3, "text", "k"), task(4, "text", "other")])
    first = waiting.take(0)
    assert numbers(first) == [1, 4]
    assert waiting.take(0) is None
    assert first is not None
    waiting.finish(first)
    second = waiting.take(0)
    assert numbers(second) == [2]
    assert second is not None
    waiting.finish(second)
    assert numbers(waiting.take(0)) == [3]


def test_a_waiting_batch_blocks_only_its_own_keys() -> None:
    waiting = queues(active=1)
    waiting.put([task(1, "text", "stuck")])
    stuck = waiting.take(0)
    assert stuck is not None
    stuck.waiting_since = 1e-9
    waiting.put([task(2, "text", "stuck"), task(3, "text", "free")])
    assert waiting.take(0) is None
    assert numbers(waiting.take(2 * WAITING_AFTER)) == [3]


def test_outstanding_counts_what_waits_and_what_is_at_work() -> None:
    waiting = queues(limit=2)
    waiting.put(task(n, "a") for n in range(5))
    waiting.take(0)
    assert (waiting.waiting, waiting.outstanding) == (3, 5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None])), max_size=60), st.integers(0, 2**32))
def test_every_task_batches_once_and_those_of_a_key_one_after_the_other(arrivals: list[tuple[str, str | None]], seed: int) -> None:
    chance = random.Random(seed)
    waiting = queues(active=3, limit=3, a=QueueSettings(parallel=1), b=QueueSettings(external=True))
    pending = [task(number, queue, key) for number, (queue, key) in enumerate(arrivals)]
    at_work: list[Batch] = []
    started: list[ProxyTask] = []
    now = 0.0
    while pending or at_work or waiting.waiting:
        now += chance.choice((0.0, WAITING_AFTER / 2, WAITING_AFTER * 2))
        step = chance.randrange(3)
        if step == 0 and pending:
            count = chance.randint(1, 5)
            waiting.put(pending[:count])
            pending = pending[count:]
        elif step == 1 and at_work:
            waiting.finish(at_work.pop(chance.randrange(len(at_work))))
        else:
            batch = waiting.take(now)
            if batch is None:
                if at_work:
                    waiting.finish(at_work.pop())
                continue
            busy = {entry.ordering_key for other in at_work for entry in other.tasks if entry.ordering_key is not None}
            assert not busy & {entry.ordering_key for entry in batch.tasks}
            assert len({entry.queue for entry in batch.tasks}) == 1
            batch.waiting_since = now or 1e-9
            at_work.append(batch)
            started += batch.tasks
    assert sorted(entry.conn_uuid for entry in started) == list(range(len(arrivals)))
    for key in ("x", "y"):
        order = [entry.conn_uuid for entry in started if entry.ordering_key == key]
        assert order == sorted(order)
    assert (waiting.waiting, waiting.waiting_bytes, waiting.outstanding) == (0, 0, 0)


def test_the_oldest_is_found_wherever_it_waits() -> None:
    def aged(number: int, queue: str, key: Hashable, received_at: float) -> ProxyTask:
        made = task(number, queue, key)
        made.received_at = received_at
        return made

    waiting = queues(limit=1)
    assert waiting.oldest_waiting() is None
    waiting.put([aged(1, "a", "talk", 1.0), aged(2, "a", "talk", 2.0), aged(3, "a", "other", 3.0)])
    assert waiting.oldest_waiting() == 1.0
    batch = waiting.take(0)
    assert numbers(batch) == [1]
    assert waiting.oldest_waiting() == 2.0  # it waits behind the first of its conversation, and in no queue
    waiting.put([aged(4, "a", None, 0.5)])  # behind the other conversation: work that took a second round
    assert waiting.oldest_waiting() == 0.5


def siblings(active: int = 2, limit: int = 4) -> RequestQueues:
    return queues(active, limit, even=QueueSettings(1, sibling="odd"), odd=QueueSettings(1, sibling="even"))


def test_siblings_are_worked_off_side_by_side_while_nothing_else_waits() -> None:
    waiting = siblings()
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even"), task(3, "odd")])
    assert numbers(waiting.take(0)) == [0, 2]
    assert numbers(waiting.take(0)) == [1, 3]


def test_siblings_share_a_batch_while_others_wait_too() -> None:
    waiting = siblings()
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even"), task(100, "other")])
    batch = waiting.take(0)
    assert numbers(batch) == [0, 2, 1]
    assert waiting.waiting == 1
    assert numbers(waiting.take(0)) == [100]
    waiting.put([task(3, "even"), task(4, "odd")])
    assert waiting.take(0) is None  # both queues are busy with that one batch
    assert batch is not None
    waiting.finish(batch)
    assert numbers(waiting.take(0)) == [3]


def test_a_batch_takes_no_more_from_its_sibling_than_there_is_room_for() -> None:
    waiting = siblings(limit=3)
    waiting.put([task(n, "even") for n in range(2)] + [task(10 + n, "odd") for n in range(4)] + [task(100, "other")])
    assert numbers(waiting.take(0)) == [0, 1, 10]
    assert waiting.waiting == 4


def test_a_sibling_that_is_at_work_is_left_alone() -> None:
    waiting = siblings(active=9)
    waiting.put([task(0, "odd")])
    assert numbers(waiting.take(0)) == [0]
    waiting.put([task(1, "even"), task(2, "odd"), task(100, "other")])
    assert numbers(waiting.take(0)) == [1]
    assert numbers(waiting.take(0)) == [100]
    assert waiting.take(0) is None
    assert waiting.waiting == 1


def joined(active: int = 9, limit: int = 4) -> RequestQueues:
    """Siblings that go together."""
    even, odd = (QueueSettings(1, sibling=sibling, together=lambda: True) for sibling in ("odd", "even"))
    return queues(active, limit, even=even, odd=odd)


def test_siblings_that_go_together_share_a_batch_also_while_nothing_else_waits() -> None:
    waiting = joined()
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even")])
    assert numbers(waiting.take(0)) == [0, 2, 1]
    assert not waiting.has_ready


def test_siblings_that_go_together_wait_for_each_others_batch() -> None:
    waiting = joined()
    waiting.put([task(0, "even")])
    first = waiting.take(0)
    waiting.put([task(1, "odd"), task(2, "even"), task(3, "odd")])
    assert waiting.take(0) is None
    waiting.put([task(100, "other")])
    assert numbers(waiting.take(0)) == [100]  # nobody else waits for them
    assert first is not None
    waiting.finish(first)
    assert numbers(waiting.take(0)) == [1, 3, 2]


def test_siblings_with_more_than_a_batch_holds_are_worked_off_side_by_side() -> None:
    waiting = joined(limit=3)
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even"), task(3, "odd")])
    assert numbers(waiting.take(0)) == [0, 2]
    waiting.put([task(4, "odd"), task(5, "odd")])
    assert numbers(waiting.take(0)) == [1, 3, 4]


def test_siblings_go_together_as_long_as_they_are_told_to() -> None:
    others = [True]
    even, odd = (QueueSettings(1, sibling=sibling, together=lambda: bool(others)) for sibling in ("odd", "even"))
    waiting = queues(9, 4, even=even, odd=odd)
    waiting.put([task(0, "even")])
    assert numbers(waiting.take(0)) == [0]
    waiting.put([task(1, "odd")])
    assert waiting.take(0) is None
    others.clear()
    assert numbers(waiting.take(0)) == [1]


def sized(number: int, queue: str, size: int) -> ProxyTask:
    made = task(number, queue)
    made.body = b"x" * size
    return made


def test_a_batch_is_bounded_by_the_bytes_of_its_requests() -> None:
    waiting = queues(active=9, limit=64)
    half = MAX_BATCH_BYTES // 2
    waiting.put([sized(1, "a", half), sized(2, "a", half), sized(3, "a", 1), sized(4, "a", 2 * MAX_BATCH_BYTES), sized(5, "a", 1)])
    assert [numbers(waiting.take(0)) for _ in range(4)] == [[1, 2], [3], [4], [5]]


def test_large_requests_are_served_one_at_a_time_and_block_no_small_one() -> None:
    waiting = queues(active=9, limit=64)
    large = MAX_ACTIVE_BYTES // 2 + 1
    waiting.put([sized(1, "a", large), sized(2, "b", large), sized(3, "c", 10)])
    first = waiting.take(0)
    assert numbers(first) == [1]
    assert numbers(waiting.take(0)) == [3]
    assert waiting.take(0) is None
    assert first is not None
    waiting.finish(first)
    assert numbers(waiting.take(0)) == [2]


def test_a_paused_batch_takes_turns_with_those_that_are_ready() -> None:
    waiting = queues(active=1, limit=1)
    waiting.put([task(1, "a"), task(2, "b"), task(3, "c")])
    long = waiting.take(0)
    assert long is not None
    assert waiting.must_yield(0)
    waiting.pause(long, first=False)
    second = waiting.take(0)
    assert numbers(second) == [2]
    assert not waiting.try_resume(long, 0)
    assert second is not None
    waiting.finish(second)
    assert waiting.take(0) is None  # its turn again
    assert not long.paused
    assert long.resumed is not None
    assert long.resumed.is_set()
    waiting.finish(long)
    assert numbers(waiting.take(0)) == [3]


def test_a_batch_that_comes_out_of_a_store_call_is_resumed_before_those_that_wait() -> None:
    waiting = queues(active=2, limit=1)
    waiting.put([task(1, "a"), task(2, "b")])
    long, returning = waiting.take(0), waiting.take(0)
    assert long is not None
    assert returning is not None
    waiting.pause(long, first=False)
    waiting.pause(returning, first=True)
    waiting.take(0)
    assert (long.paused, returning.paused) == (True, False)
    waiting.take(0)
    assert not long.paused


def test_a_paused_batch_keeps_its_place_in_the_bound_of_its_queue() -> None:
    waiting = queues(active=2, limit=1, a=QueueSettings(parallel=1))
    waiting.put([task(1, "a"), task(2, "a")])
    batch = waiting.take(0)
    assert batch is not None
    waiting.pause(batch, first=False)
    assert waiting.take(0) is None
    assert waiting.waiting == 1


class Blocked:
    """Connections that do not take their replies."""

    def __init__(self) -> None:
        self.uuids: set[int] = set()

    def queues(self) -> RequestQueues:
        limits = QueueLimits(max_batch=4, max_active=4)
        return RequestQueues({}, limits, is_blocked=self.uuids.__contains__, under_pressure=lambda: bool(self.uuids))


def test_requests_of_a_blocked_connection_are_held_and_the_others_go_on() -> None:
    blocked = Blocked()
    waiting = blocked.queues()
    blocked.uuids.add(1)
    waiting.put([task(1, "a"), task(2, "a"), task(1, "a"), task(1, "b")])
    assert numbers(waiting.take(0)) == [2]
    assert waiting.take(0) is None
    assert (waiting.waiting, waiting.outstanding) == (0, 4)
    assert waiting.held.memory() == {1: waiting.held.bytes}
    blocked.uuids.clear()
    waiting.put([task(1, "a")])  # what comes meanwhile stays behind those that are held
    assert waiting.take(0) is None
    waiting.release(1, 7.0)
    assert (waiting.held.bytes, waiting.waiting, waiting.oldest_waiting()) == (0, 4, 7.0)
    assert sorted(len(numbers(waiting.take(8))) for _ in range(2)) == [1, 3]


def test_messages_of_a_blocked_connection_are_stored_all_the_same() -> None:
    blocked = Blocked()
    waiting = blocked.queues()
    blocked.uuids.add(1)
    waiting.put([task(1, "a", "conversation")])
    assert numbers(waiting.take(0)) == [1]


def test_time_held_does_not_count_for_lookups_but_for_follow_ups() -> None:
    waiting = queues()
    lookup, follow_up = task(1, "a"), task(1, "a")
    lookup.request = follow_up.request = IMUsersInfoReq(user_id=1)
    follow_up.follow_up = FollowUp("a", lambda: IMUsersInfoReq(), lambda: IMUsersInfoReq())
    waiting.held.add([lookup, follow_up])
    assert lookup.request is None  # it is parsed again; held, it would take many times as much
    waiting.release(1, 9.0)
    assert (lookup.received_at, follow_up.received_at) == (9.0, 0.0)
    assert follow_up.request is not None


def test_batches_that_wait_for_a_large_result_let_others_of_their_queue_pass() -> None:
    waiting = queues(active=2, limit=1)
    waiting.put(task(n, "a") for n in range(12))
    for _ in range(MAX_SUSPENDED):
        batch = waiting.take(0)
        assert batch is not None
        batch.paused = batch.suspended = True
    assert [waiting.take(0) is not None for _ in range(3)] == [True, True, False]
