"""Retirement: what remains to be done in a process that has handed its sockets over. Reactor thread only.

Its replies go to the new process, which has the sockets. Each ``work`` frame carries replies and the ordering keys of the requests that are
still at work here, so that the new process begins no request of a conversation before its time.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import time
from collections.abc import Callable, Hashable

from dbproxy.handover.channel import Channel, ChannelError
from dbproxy.handover.service import LiveService
from dbproxy.net.reactor import Reactor

logger = logging.getLogger(__name__)

POLL = 0.01
"""Seconds between two looks at what has been answered, beside those when a worker has posted replies."""

LINGER = 3.0
"""Seconds after the handover in which this process could take the listening sockets back, if the new one dies."""

KILL_TIMEOUT = 2.0
"""Seconds to wait for the end of a new process that was killed."""


class Retirement:
    """Sends replies to the new process until all is answered and ``LINGER`` is over, or for ``longest`` seconds.

    ``on_settled`` is called when ``LINGER`` is over, ``on_done`` at the end; ``on_lost`` if the new process dies, or does not take replies,
    before ``on_settled``: then it is killed, and this one serves again.
    """

    def __init__(
        self,
        reactor: Reactor,
        service: LiveService,
        channel: Channel,
        new_process: subprocess.Popen[bytes],
        longest: float,
        *,
        on_settled: Callable[[], None],
        on_done: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._service = service
        self._channel = channel
        self._new_process = new_process
        self._reactor = reactor
        self._on_settled = on_settled
        self._on_done = on_done
        self._settled = False
        self._on_lost = on_lost
        self._began = time.monotonic()
        self._longest = max(longest, LINGER + POLL)  # with the shortest time limits it must settle all the same
        self._over = False
        self._told: tuple[list[Hashable], bool] | None = None
        """The ordering keys that the new process knows to be at work, and whether it knows that nothing is."""
        service.abandon()
        reactor.add_loop_callback(self._send)
        reactor.call_later(POLL, self._poll)

    def _poll(self) -> None:
        self._send()
        if not self._over:
            self._reactor.call_later(POLL, self._poll)

    def _send(self) -> None:
        if self._over:
            return
        age = time.monotonic() - self._began
        replies, keys, done = self._service.collect()
        try:
            if replies or (keys, done) != self._told:
                self._told = keys, done
                fields = {"replies": [[uuid, len(pdu)] for uuid, pdu in replies], "keys_at_work": keys, "done": done}
                self._channel.send("work", fields, [pdu for _, pdu in replies])
            else:
                self._hear_of_stop()
            if age >= LINGER and not self._settled:
                self._settled = True
                self._channel.timeout = self._longest  # it may freeze as any process; nothing waits for this one
                self._on_settled()
            if done and self._settled:
                self._channel.send("bye")
        except ChannelError as error:
            self._lost(error)
            return
        if age > self._longest:
            logger.error("upgrade: some of what was begun before it is not answered after %.0f s, and stays unanswered", self._longest)
        elif not (done and self._settled):
            return
        self._finish(self._on_done)

    def _hear_of_stop(self) -> None:
        if self._channel.wait(0):
            self._channel.receive("stopping")
            self._settled = True  # it ends because somebody wants it to

    def _lost(self, error: ChannelError) -> None:
        with contextlib.suppress(ChannelError):
            self._hear_of_stop()  # it may have said so, and ended before this process came to listen
        if not self._settled:
            logger.critical(
                "upgrade: the new process died as soon as it served, and all connections with it; going on without it: %s", error
            )
            self._new_process.kill()  # if it only hangs: there must not be two that serve
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._new_process.wait(KILL_TIMEOUT)
            self._service.take_back()
            self._finish(self._on_lost)
        else:
            logger.error("upgrade: the last replies cannot be passed on: %s", error)
            self._finish(self._on_done)

    def _finish(self, then: Callable[[], None]) -> None:
        self._over = True
        self._reactor.remove_loop_callback(self._send)
        self._channel.close()
        then()
