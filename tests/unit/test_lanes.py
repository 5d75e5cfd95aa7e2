"""Lanes: fairness, limits, order."""

from __future__ import annotations

import random
from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire.commands import MSG_DATA, USER_INFO
from dbproxy.work.handler_map import Handler
from dbproxy.work.lanes import STALE_AFTER, Lanes, LaneSettings, Run
from dbproxy.work.proxy_task import ProxyTask

MESSAGE = Handler(MSG_DATA, lambda requests: [None] * len(requests))
LOOK_UP = Handler(USER_INFO, lambda requests: [None] * len(requests))


def task(number: int, lane: str, key: Hashable = None, handler: Handler = MESSAGE) -> ProxyTask:
    made = ProxyTask(handler, number, "peer", 0, b"", 0.0)
    made.lane, made.order_key = lane, key
    return made


def lanes(active: int = 2, limit: int = 4, parallel: int = 2, **settings: LaneSettings) -> Lanes:
    return Lanes(settings, LaneSettings(limit, parallel), active)


def numbers(run: Run | None) -> list[int]:
    assert run is not None
    return [entry.conn_uuid for entry in run.tasks]


def test_a_run_is_whatever_waits_up_to_the_limit() -> None:
    waiting = lanes(limit=4)
    waiting.put(task(n, "a") for n in range(6))
    assert numbers(waiting.take(0)) == [0, 1, 2, 3]
    assert numbers(waiting.take(0)) == [4, 5]
    assert waiting.take(0) is None
    assert waiting.waiting == 0


def test_of_requests_with_long_answers_a_run_leaves_most_to_others_if_many_wait() -> None:
    waiting = lanes(active=9, limit=64, parallel=9, long=LaneSettings(64, 9, long_answers=True))
    waiting.put(task(n, "long") for n in range(120))
    assert [len(numbers(waiting.take(0))) for _ in range(6)] == [40, 26, 18, 16, 16, 4]
    assert waiting.take(0) is None
    waiting.put(task(n, "long") for n in range(300))
    assert len(numbers(waiting.take(0))) == 64
    waiting.put([task(0, "alone")])
    waiting.take(0)
    assert numbers(waiting.take(0)) == [0]


def test_lanes_take_turns_whatever_waits_in_them() -> None:
    waiting = lanes(active=9, limit=2)
    waiting.put([task(n, "busy") for n in range(6)] + [task(100, "rare")])
    assert numbers(waiting.take(0)) == [0, 1]
    assert numbers(waiting.take(0)) == [100]
    assert numbers(waiting.take(0)) == [2, 3]


def test_no_more_fresh_runs_than_allowed_and_stale_ones_do_not_count() -> None:
    waiting = lanes(active=1, limit=1)
    waiting.put(task(n, f"lane {n}") for n in range(3))
    assert numbers(waiting.take(0)) == [0]
    assert waiting.take(STALE_AFTER / 2) is None
    assert waiting.next_look(STALE_AFTER / 2) == STALE_AFTER / 2
    assert numbers(waiting.take(STALE_AFTER)) == [1]


def test_a_finished_run_makes_room() -> None:
    waiting = lanes(active=1, limit=1)
    waiting.put([task(1, "a"), task(2, "b")])
    run = waiting.take(0)
    assert run is not None
    waiting.finish(run)
    assert numbers(waiting.take(0)) == [2]


def test_slow_lane_is_bounded_for_itself_and_holds_up_nobody() -> None:
    waiting = lanes(active=1, slow=LaneSettings(1, 2, slow=True))
    waiting.put([task(n, "slow") for n in range(3)] + [task(100, "fast")])
    assert {numbers(waiting.take(0))[0] for _ in range(3)} == {0, 1, 100}
    assert waiting.take(10) is None  # however old its runs are
    assert waiting.waiting == 1


def test_tasks_of_one_key_wait_for_each_other_across_lanes() -> None:
    waiting = lanes(active=9)
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


def test_a_stale_run_blocks_only_its_own_keys() -> None:
    waiting = lanes(active=1, parallel=1)
    waiting.put([task(1, "text", "stuck")])
    waiting.take(0)
    waiting.put([task(2, "text", "stuck"), task(3, "text", "free")])
    assert waiting.take(0) is None
    assert numbers(waiting.take(STALE_AFTER)) == [3]


def test_outstanding_counts_what_waits_and_what_is_at_work() -> None:
    waiting = lanes(limit=2)
    waiting.put(task(n, "a") for n in range(5))
    waiting.take(0)
    assert (waiting.waiting, waiting.outstanding) == (3, 5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None])), max_size=60), st.integers(0, 2**32))
def test_every_task_runs_once_and_those_of_a_key_one_after_the_other(arrivals: list[tuple[str, str | None]], seed: int) -> None:
    chance = random.Random(seed)
    waiting = lanes(active=3, limit=3, a=LaneSettings(3, 1), b=LaneSettings(1, 2, slow=True))
    pending = [task(number, lane, key) for number, (lane, key) in enumerate(arrivals)]
    at_work: list[Run] = []
    started: list[ProxyTask] = []
    now = 0.0
    while pending or at_work or waiting.waiting:
        now += chance.choice((0.0, STALE_AFTER / 2, STALE_AFTER * 2))
        step = chance.randrange(3)
        if step == 0 and pending:
            count = chance.randint(1, 5)
            waiting.put(pending[:count])
            pending = pending[count:]
        elif step == 1 and at_work:
            waiting.finish(at_work.pop(chance.randrange(len(at_work))))
        else:
            run = waiting.take(now)
            if run is None:
                if at_work:
                    waiting.finish(at_work.pop())
                continue
            busy = {entry.order_key for other in at_work for entry in other.tasks if entry.order_key is not None}
            assert not busy & {entry.order_key for entry in run.tasks}
            assert len({entry.lane for entry in run.tasks}) == 1
            at_work.append(run)
            started += run.tasks
    assert sorted(entry.conn_uuid for entry in started) == list(range(len(arrivals)))
    for key in ("x", "y"):
        order = [entry.conn_uuid for entry in started if entry.order_key == key]
        assert order == sorted(order)
    assert (waiting.waiting, waiting.waiting_bytes, waiting.outstanding) == (0, 0, 0)


def test_the_oldest_is_found_wherever_it_waits() -> None:
    def aged(number: int, lane: str, key: Hashable, received_at: float) -> ProxyTask:
        made = task(number, lane, key)
        made.received_at = received_at
        return made

    waiting = lanes(limit=1)
    assert waiting.oldest_waiting() is None
    waiting.put([aged(1, "a", "talk", 1.0), aged(2, "a", "talk", 2.0), aged(3, "a", "other", 3.0)])
    assert waiting.oldest_waiting() == 1.0
    run = waiting.take(0)
    assert numbers(run) == [1]
    assert waiting.oldest_waiting() == 2.0  # it waits behind the first of its conversation, and in no lane
    waiting.put([aged(4, "a", None, 0.5)])  # behind the other conversation: work that took a second round
    assert waiting.oldest_waiting() == 0.5


def twins(active: int = 2, limit: int = 4) -> Lanes:
    return lanes(active, even=LaneSettings(limit, 1, twin="odd"), odd=LaneSettings(limit, 1, twin="even"))


def test_twins_are_worked_off_side_by_side_while_nothing_else_waits() -> None:
    waiting = twins()
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even"), task(3, "odd")])
    assert numbers(waiting.take(0)) == [0, 2]
    assert numbers(waiting.take(0)) == [1, 3]


def test_twins_share_a_run_while_others_wait_too() -> None:
    waiting = twins()
    waiting.put([task(0, "even"), task(1, "odd"), task(2, "even"), task(100, "other")])
    run = waiting.take(0)
    assert numbers(run) == [0, 2, 1]
    assert numbers(waiting.take(0)) == [100]
    waiting.put([task(3, "even"), task(4, "odd")])
    assert waiting.take(0) is None  # both lanes are busy with that one run
    assert run is not None
    waiting.finish(run)
    assert numbers(waiting.take(0)) == [3]


def test_a_run_takes_no_more_from_its_twin_than_there_is_room_for() -> None:
    waiting = twins(limit=3)
    waiting.put([task(n, "even") for n in range(2)] + [task(10 + n, "odd") for n in range(4)] + [task(100, "other")])
    assert numbers(waiting.take(0)) == [0, 1, 10]
    assert waiting.waiting == 4


def test_a_twin_that_is_at_work_is_left_alone() -> None:
    waiting = twins(active=9)
    waiting.put([task(0, "odd")])
    assert numbers(waiting.take(0)) == [0]
    waiting.put([task(1, "even"), task(2, "odd"), task(100, "other")])
    assert numbers(waiting.take(0)) == [1]
    assert numbers(waiting.take(0)) == [100]
    assert waiting.take(0) is None
    assert waiting.waiting == 1
