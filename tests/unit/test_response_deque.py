"""The mailbox between the workers and the reactor."""

from __future__ import annotations

import threading

from dbproxy.work.response_deque import CloseConnection, ResponseDeque


def test_responses_come_out_once_and_in_the_order_of_posting() -> None:
    deque = ResponseDeque(lambda: None)
    close = CloseConnection("because")
    deque.post([(1, b"a"), (2, b"b")])
    deque.post([(1, close)])
    assert not deque.is_empty
    assert list(deque.drain()) == [(1, b"a"), (2, b"b"), (1, close)]
    assert deque.is_empty
    assert list(deque.drain()) == []


def test_a_whole_run_rings_once_and_after_it_can_be_seen() -> None:
    seen: list[int] = []
    deque = ResponseDeque(lambda: seen.append(len(deque.drain())))
    deque.post([(1, b"a"), (2, b"b"), (3, b"c")])
    assert seen == [3]


def test_what_is_posted_while_draining_is_neither_lost_nor_doubled() -> None:
    rung = threading.Semaphore(0)
    deque = ResponseDeque(rung.release)

    def post(uuid: int) -> None:
        for number in range(300):
            deque.post([(uuid, b"%d" % number), (uuid, b"again")])

    threads = [threading.Thread(target=post, args=(uuid,)) for uuid in range(4)]
    for thread in threads:
        thread.start()
    got: list[tuple[int, bytes | CloseConnection]] = []
    for _ in range(4 * 300):
        assert rung.acquire(timeout=5)
        got += deque.drain()
    for thread in threads:
        thread.join()
    for uuid in range(4):
        assert [data for owner, data in got if owner == uuid] == [data for n in range(300) for data in (b"%d" % n, b"again")]
