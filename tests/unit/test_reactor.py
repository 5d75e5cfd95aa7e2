"""The event loop: sockets, timers, loop callbacks, the waker; and an error in one of them touches no other."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dbproxy.net.reactor import LONGEST_WAIT, Reactor
from dbproxy.net.waker import Waker


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def turn_until(reactor: Reactor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    reactor.call_later(seconds, lambda: None)  # so that no turn waits for longer
    while time.monotonic() < deadline:
        reactor.turn()


def test_a_socket_is_served_when_it_is_readable(reactor: Reactor, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    masks: list[int] = []

    def read(mask: int) -> None:
        masks.append(mask)
        ours.recv(10)

    reactor.register(ours, selectors.EVENT_READ, read)
    theirs.send(b"x")
    reactor.turn()
    assert masks == [selectors.EVENT_READ]


def test_modify_and_unregister_change_what_a_socket_is_watched_for(reactor: Reactor, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    masks: list[int] = []
    reactor.register(ours, selectors.EVENT_READ, masks.append)
    theirs.send(b"x")
    reactor.modify(ours, selectors.EVENT_WRITE, masks.append)
    reactor.turn()
    reactor.unregister(ours)
    reactor.wake()
    reactor.turn()
    assert masks == [selectors.EVENT_WRITE]


def test_timers_run_in_the_order_of_their_times(reactor: Reactor) -> None:
    done: list[str] = []
    reactor.call_later(0.02, lambda: done.append("second"))
    reactor.call_later(0.01, lambda: done.append("first"))
    reactor.call_later(30, lambda: done.append("never"))
    turn_until(reactor, 0.05)
    assert done == ["first", "second"]


def test_timers_of_the_same_time_run_in_the_order_of_their_making(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    done: list[int] = []
    with monkeypatch.context() as frozen:
        frozen.setattr(time, "monotonic", lambda: now)
        for number in range(5):
            reactor.call_later(0, lambda number=number: done.append(number))  # type: ignore[misc]
    reactor.turn()
    assert done == [0, 1, 2, 3, 4]


def test_a_repeated_timer_comes_back_and_does_not_catch_up(reactor: Reactor) -> None:
    times: list[float] = []

    def late() -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            time.sleep(0.06)  # three intervals long

    reactor.call_every(0.02, late)
    turn_until(reactor, 0.13)
    assert 2 <= len(times) <= 5  # catching up would make it six at least


def test_a_timer_may_add_a_timer(reactor: Reactor) -> None:
    done: list[str] = []
    reactor.call_later(0.01, lambda: reactor.call_later(0.01, lambda: done.append("inner")))
    turn_until(reactor, 0.05)
    assert done == ["inner"]


def test_loop_callbacks_run_once_in_every_turn_after_sockets_and_timers(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    order: list[str] = []
    reactor.add_loop_callback(lambda: order.append("callback"))
    reactor.call_later(0, lambda: order.append("timer"))

    def read(_mask: int) -> None:
        ours.recv(10)
        order.append("socket")

    reactor.register(ours, selectors.EVENT_READ, read)
    theirs.send(b"x")
    reactor.turn()
    assert order == ["socket", "timer", "callback"]


def test_an_error_in_a_callback_is_logged_and_touches_no_other(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pair
    done: list[str] = []

    def broken(*_: object) -> None:
        ours.recv(10)
        raise ValueError("a defect")

    def broken_too() -> None:
        raise ValueError("another defect")

    reactor.register(ours, selectors.EVENT_READ, broken)
    reactor.call_later(0, broken_too)
    reactor.call_later(0, lambda: done.append("timer"))
    reactor.add_loop_callback(broken_too)
    reactor.add_loop_callback(lambda: done.append("callback"))
    theirs.send(b"x")
    reactor.turn()
    assert done == ["timer", "callback"]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "a socket's callback failed",
        "a timer's callback failed",
        "a loop callback failed",
    ]


def test_a_broken_repeated_timer_goes_on(reactor: Reactor) -> None:
    calls: list[None] = []

    def broken() -> None:
        calls.append(None)
        raise ValueError("a defect")

    reactor.call_every(0.01, broken)
    turn_until(reactor, 0.06)
    assert len(calls) >= 2


def test_another_thread_ends_the_wait(reactor: Reactor) -> None:
    threading.Timer(0.05, reactor.wake).start()
    started = time.monotonic()
    reactor.turn()
    assert 0.03 < time.monotonic() - started < LONGEST_WAIT / 2


def test_a_wake_up_before_the_turn_is_not_lost_and_ends_one_wait_only(reactor: Reactor) -> None:
    reactor.wake()
    started = time.monotonic()
    reactor.turn()
    assert time.monotonic() - started < LONGEST_WAIT / 2
    reactor.call_later(0.05, lambda: None)
    started = time.monotonic()
    reactor.turn()
    assert time.monotonic() - started > 0.03


def test_run_returns_after_stop(reactor: Reactor) -> None:
    turns: list[None] = []
    reactor.add_loop_callback(lambda: turns.append(None))
    reactor.call_later(0.01, reactor.stop)
    reactor.run()
    assert turns


def test_a_thousand_rings_send_one_byte() -> None:
    waker = Waker()
    for _ in range(1000):
        waker.wake()
    with socket.socket(fileno=socket.dup(waker.fileno())) as reader:
        assert reader.recv(4096, socket.MSG_PEEK) == b"\0"
    waker.clear()
    waker.clear()  # clearing what was not woken does no harm
    waker.wake()
    with socket.socket(fileno=socket.dup(waker.fileno())) as reader:
        assert reader.recv(4096) == b"\0"
    waker.close()
    waker.wake()  # nobody is there any more; no error either


def test_no_post_is_missed_however_the_threads_meet(reactor: Reactor) -> None:
    """Posters append and wake, the reactor looks after each wake-up: everything is seen without waiting for the longest wait."""
    posted: list[int] = []
    seen: list[int] = []

    def look() -> None:
        while posted:
            seen.append(posted.pop())
        if len(seen) == 2000:
            reactor.stop()

    def post(start: int) -> None:
        for number in range(start, start + 500):
            posted.append(number)
            reactor.wake()

    reactor.add_loop_callback(look)
    reactor.call_later(10, reactor.stop)
    threads = [threading.Thread(target=post, args=(start,)) for start in range(0, 2000, 500)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    reactor.run()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2000))
    assert time.monotonic() - started < LONGEST_WAIT
