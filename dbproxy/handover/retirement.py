"""Retirement: what remains to be done in a process that has handed its sockets over. Reactor thread only.

Its replies go to the new process, which has the sockets. Each ``work`` frame carries replies and the ordering keys of the requests that are
still at work here, so that the new process begins no request of a conversation before its time.
"""

from __future__ import annotations

import logging
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


class Retirement:
    """Sends replies to the new process until all is answered and ``LINGER`` is over, or for ``longest`` seconds.

    ``on_settled`` is called when ``LINGER`` is over, ``on_done`` at the end; ``on_lost`` if the new process dies before ``on_settled``, and
    then this one serves again.
    """

    def __init__(
        self,
        reactor: Reactor,
        service: LiveService,
        channel: Channel,
        longest: float,
        *,
        on_settled: Callable[[], None],
        on_done: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._service = service
        self._channel = channel
        self._on_settled = on_settled
        self._on_done = on_done
        self._settled = False
        self._on_lost = on_lost
        self._began = time.monotonic()
        self._longest = longest
        self._over = False
        self._told: tuple[list[Hashable], bool] | None = None
        """The ordering keys that the new process knows to be at work, and whether it knows that nothing is."""
        service.abandon()
        reactor.add_loop_callback(self._send)
        reactor.call_every(POLL, self._send)

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
            elif self._channel.wait(0):
                self._channel.receive("stopping")
                self._settled = True  # it ends because somebody wants it to
            if age >= LINGER and not self._settled:
                self._settled = True
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

    def _lost(self, error: ChannelError) -> None:
        if not self._settled:
            logger.critical("upgrade: the new process died as soon as it served, and all connections with it; going on without it")
            self._service.take_back()
            self._finish(self._on_lost)
        else:
            logger.error("upgrade: the last replies cannot be passed on: %s", error)
            self._finish(self._on_done)

    def _finish(self, then: Callable[[], None]) -> None:
        self._over = True
        self._channel.close()
        then()
