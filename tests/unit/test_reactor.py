"""The event loop: sockets, timers, loop callbacks, the waker; and an error in one of them touches no other."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.net.reactor import Reactor
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


def turn_until(reactor: Reactor, done: Callable[[], bool]) -> None:
    """Let the reactor work until ``done``; the watchdog ends a test in which that does not happen."""
    while not done():
        reactor.turn()


@pytest.fixture
def no_longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that nobody wakes takes so long that the watchdog ends the test."""
    monkeypatch.setattr("dbproxy.net.reactor.LONGEST_WAIT", 3600)


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
    reactor.call_later(3600, lambda: done.append("never"))
    turn_until(reactor, lambda: len(done) >= 2)
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


def test_a_repeated_timer_comes_back_and_does_not_catch_up(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    times: list[float] = []
    reactor.call_every(10, lambda: times.append(now))
    for now in (1009, 1010, 1051, 1052, 1061):  # noqa: B007 - the clock reads it
        reactor.wake()
        reactor.turn()
    assert times == [1010, 1051, 1061]


def test_a_timer_may_add_a_timer(reactor: Reactor) -> None:
    done: list[str] = []
    reactor.call_later(0.01, lambda: reactor.call_later(0.01, lambda: done.append("inner")))
    turn_until(reactor, lambda: bool(done))
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
    turn_until(reactor, lambda: len(calls) >= 2)


@pytest.mark.usefixtures("no_longest_wait")
def test_another_thread_ends_the_wait(reactor: Reactor) -> None:
    timer = threading.Timer(0.05, reactor.wake)
    timer.start()
    reactor.turn()
    timer.join()


@pytest.mark.usefixtures("no_longest_wait")
def test_a_wake_up_before_the_turn_is_not_lost_and_ends_one_wait_only(reactor: Reactor) -> None:
    done: list[None] = []
    reactor.wake()
    reactor.turn()
    reactor.call_later(0.05, lambda: done.append(None))
    reactor.turn()
    assert done  # the timer has ended the second wait


def test_run_returns_after_stop(reactor: Reactor) -> None:
    turns: list[None] = []
    reactor.add_loop_callback(lambda: turns.append(None))
    reactor.call_later(0.01, reactor.stop)
    reactor.run()
    assert turns


def test_a_thousand_wake_ups_send_one_byte() -> None:
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


@pytest.mark.usefixtures("no_longest_wait")
def test_no_post_is_missed_however_the_threads_meet(reactor: Reactor) -> None:
    """Posters append and wake, the reactor reads after each wake-up: a post that is missed would never be seen."""
    posted: list[int] = []
    seen: list[int] = []

    def read() -> None:
        while posted:
            seen.append(posted.pop())
        if len(seen) == 2000:
            reactor.stop()

    def post(start: int) -> None:
        for number in range(start, start + 500):
            posted.append(number)
            reactor.wake()

    reactor.add_loop_callback(read)
    reactor.call_later(10, reactor.stop)
    threads = [threading.Thread(target=post, args=(start,)) for start in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    reactor.run()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2000))
