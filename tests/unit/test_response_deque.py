"""The response deque between the workers and the reactor, and its count of what is unsent."""

from __future__ import annotations

import threading

from dbproxy.work.response_deque import UNCOUNTED, ResponseDeque


def test_responses_come_out_once_and_in_the_order_of_posting() -> None:
    deque = ResponseDeque(lambda: None)
    deque.post([(1, b"a"), (2, b"b")], 2)
    deque.post([(1, b"c")], 1)
    assert not deque.is_empty
    assert list(deque.drain()) == [(1, b"a"), (2, b"b"), (1, b"c")]
    assert deque.is_empty
    assert list(deque.drain()) == []


def test_a_whole_batch_wakes_once_and_after_it_can_be_seen() -> None:
    seen: list[int] = []
    deque = ResponseDeque(lambda: seen.append(len(deque.drain())))
    deque.post([(1, b"a"), (2, b"b"), (3, b"c")], 3)
    assert seen == [3]


def test_what_is_posted_while_draining_is_neither_lost_nor_doubled() -> None:
    woken = threading.Semaphore(0)
    deque = ResponseDeque(woken.release)

    def post(uuid: int) -> None:
        for number in range(300):
            deque.post([(uuid, b"%d" % number), (uuid, b"again")], 8)

    threads = [threading.Thread(target=post, args=(uuid,)) for uuid in range(4)]
    for thread in threads:
        thread.start()
    got: list[tuple[int, bytes]] = []
    for _ in range(4 * 300):
        assert woken.acquire(timeout=5)
        got += deque.drain()
    for thread in threads:
        thread.join()
    for uuid in range(4):
        assert [data for owner, data in got if owner == uuid] == [data for n in range(300) for data in (b"%d" % n, b"again")]


SIZE = UNCOUNTED + 1


def counting() -> ResponseDeque:
    return ResponseDeque(lambda: None, max_connection_bytes=2 * SIZE, max_total_bytes=4 * SIZE)


def test_bytes_are_unsent_until_the_socket_has_taken_them() -> None:
    deque = counting()
    deque.post([(1, bytes(SIZE))], SIZE)
    assert (deque.unsent(1), deque.unsent_total) == (SIZE, SIZE)
    deque.drain()
    assert (deque.unsent(1), deque.unsent_total) == (SIZE, SIZE)
    deque.keep(1, 100)
    deque.sent()
    assert (deque.unsent(1), deque.unsent_total) == (100, 100)
    deque.keep(1, 0)
    assert (deque.unsent(1), deque.unsent_total) == (0, 0)


def test_a_blocked_connection_is_drained_at_half_of_the_limit() -> None:
    deque = counting()
    assert not deque.under_pressure()
    deque.keep(1, 2 * SIZE + 1)
    deque.keep(2, 1)
    assert deque.under_pressure()
    assert deque.is_blocked(1)
    assert not deque.is_blocked(2)
    assert not deque.is_drained(1)
    deque.keep(1, 2 * SIZE)
    assert not deque.is_blocked(1)
    assert not deque.is_drained(1)
    deque.keep(1, SIZE)
    assert deque.is_drained(1)


def test_above_the_total_only_connections_without_a_backlog_get_more() -> None:
    deque = counting()
    for uuid in range(1, 5):
        deque.keep(uuid, 2 * SIZE)
    assert deque.is_blocked(1)
    assert not deque.is_drained(1)
    assert not deque.is_blocked(9)
    deque.keep(1, 0)
    assert deque.is_drained(1)


def test_who_waits_for_room_is_woken_when_the_peers_have_taken_enough() -> None:
    deque = counting()
    deque.keep(1, 13 * SIZE)
    assert not deque.wait_for_room(0)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(deque.wait_for_room(10)))
    thread.start()
    while not deque._room_wanted:
        pass
    deque.keep(1, SIZE)
    thread.join(10)
    assert found == [True]


def test_few_slow_peers_leave_room_for_large_replies_of_others() -> None:
    deque = counting()
    deque.keep(1, 6 * SIZE)
    deque.keep(2, 6 * SIZE)
    assert deque.has_room
    deque.keep(3, SIZE)
    assert not deque.has_room
    assert not deque.is_blocked(9)  # short replies find room in any case
    deque.block_until_room(9)
    assert not deque.is_drained(9)
    deque.keep(3, 0)
    assert deque.is_drained(9)
