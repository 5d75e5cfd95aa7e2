"""The event loop: one thread, ``selectors.DefaultSelector`` (epoll on Linux), timers and loop callbacks.

One turn of the loop waits for sockets, runs what is ready, then the timers that are due, then every loop callback.
Except where a method says otherwise, all of it belongs to the thread that runs ``run``.
"""

from __future__ import annotations

import heapq
import logging
import selectors
import socket
import time
from collections.abc import Callable

from dbproxy.net.waker import Waker

logger = logging.getLogger(__name__)

EventCallback = Callable[[int], None]
"""What a registered socket is served with; the argument is the mask of selectors.EVENT_READ and EVENT_WRITE."""

LONGEST_WAIT = 1.0
"""Seconds a turn waits at most: a bound on the harm of a wake-up that was forgotten."""


class Reactor:
    """Owns the selector. Sockets are registered with the callback that serves them; that callback must never block."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, float, Callable[[], None]]] = []
        self._timer_count = 0
        self._loop_callbacks: list[Callable[[], None]] = []
        self._stopping = False
        self.last_turn = time.monotonic()
        """When the sockets of the last turn had been served (monotonic time). Any thread; it is at most about ``LONGEST_WAIT`` ago."""
        self.waker = Waker()
        self._selector.register(self.waker, selectors.EVENT_READ, self._woken)

    def register(self, sock: socket.socket, events: int, callback: EventCallback) -> None:
        """Serve ``sock`` with ``callback`` whenever one of ``events`` is possible."""
        self._selector.register(sock, events, callback)

    def modify(self, sock: socket.socket, events: int, callback: EventCallback) -> None:
        """Change what a registered socket is watched for; ``events`` must not be 0."""
        self._selector.modify(sock, events, callback)

    def unregister(self, sock: socket.socket) -> None:
        """Stop watching a socket; must be called before it is closed."""
        self._selector.unregister(sock)

    def call_every(self, interval: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` every ``interval`` seconds, first after one interval."""
        self._add_timer(time.monotonic() + interval, interval, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` once, ``delay`` seconds from now."""
        self._add_timer(time.monotonic() + delay, 0.0, callback)

    def add_loop_callback(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` at the end of every turn of the loop."""
        self._loop_callbacks.append(callback)

    def remove_loop_callback(self, callback: Callable[[], None]) -> None:
        """Run it no more; in the turn that is under way it may still be run."""
        self._loop_callbacks = [known for known in self._loop_callbacks if known != callback]

    def wake(self) -> None:
        """End the wait of the current turn. Any thread."""
        self.waker.wake()

    def stop(self) -> None:
        """Make ``run`` return after the current turn."""
        self._stopping = True

    def run(self) -> None:
        """Turn until ``stop``; the calling thread becomes the reactor thread."""
        while not self._stopping:
            self.turn()

    def turn(self) -> None:
        """Wait for something to do, do it, run what is due. An error in one callback is logged and touches no other."""
        for key, mask in self._selector.select(self._time_to_next_timer()):
            try:
                key.data(mask)
            except Exception:
                logger.exception("a socket's callback failed")
        self._run_due_timers()
        for callback in self._loop_callbacks:
            try:
                callback()
            except Exception:
                logger.exception("a loop callback failed")

    def close(self) -> None:
        """Release the selector and the waker; the sockets of others stay theirs."""
        self._selector.close()
        self.waker.close()

    def _woken(self, _mask: int) -> None:
        self.waker.clear()

    def _add_timer(self, when: float, interval: float, callback: Callable[[], None]) -> None:
        self._timer_count += 1  # makes entries of the same time comparable, in the order of their making
        heapq.heappush(self._timers, (when, self._timer_count, interval, callback))

    def _time_to_next_timer(self) -> float:
        if not self._timers:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.0, self._timers[0][0] - time.monotonic()))

    def _run_due_timers(self) -> None:
        self.last_turn = now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, interval, callback = heapq.heappop(self._timers)
            if interval:
                self._add_timer(now + interval, interval, callback)  # a late timer does not try to catch up
            try:
                callback()
            except Exception:
                logger.exception("a timer's callback failed")
