"""Takeover: the side of the process that takes. See ``upgrade.py`` for the steps."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Hashable, Iterable

from dbproxy.errors import StartupError
from dbproxy.handover.channel import Channel, ChannelError, PayloadCutter
from dbproxy.handover.service import PEERS, LiveService
from dbproxy.handover.state import HandoverState
from dbproxy.handover.upgrade import CHANNEL_VARIABLE, PROBATION, PROTOCOL, START_MARGIN, TRANSFER_TIMEOUT

logger = logging.getLogger(__name__)

Address = tuple[str, str, int]
"""Role, host and port of a listening socket, as the configuration has them."""

SILENCE = 3600.0
"""Seconds that may pass between two frames of the former process while it answers what it has begun."""


def channel_from_environment() -> Channel | None:
    """Return the channel to the process that has started this one to be replaced by it; None if this is an ordinary start. Once."""
    value = os.environ.pop(CHANNEL_VARIABLE, "")
    if not value.isdigit():
        return None
    try:
        return Channel(socket.socket(fileno=int(value)), TRANSFER_TIMEOUT)
    except OSError:
        return None


def tell_failure(channel: Channel | None, reason: str) -> None:
    """Tell the process that has started this one, if any, why this one does not take over; nothing more is said to it."""
    if channel is not None:
        with contextlib.suppress(ChannelError):
            channel.send("failed", {"reason": reason})
        channel.close()


class Takeover:
    """The steps in their order: ``begin``, ``take``, ``serve``; all in the thread that starts the proxy."""

    def __init__(self, channel: Channel, version: str) -> None:
        self._channel = channel
        self._version = version
        self._pid = 0
        self._announced: set[Address] = set()
        self._state = HandoverState(0)
        self._sockets: dict[Address, socket.socket] = {}
        self._former_is_at_work = False

    @property
    def former_is_at_work(self) -> bool:
        """Whether the former process still answers requests. Any thread."""
        return self._former_is_at_work

    def begin(self) -> None:
        """Hear which listening sockets there are.

        Raises:
            StartupError: the former process is gone.

        """
        try:
            frame = self._channel.receive("hello")
        except ChannelError as error:
            raise StartupError(f"upgrade: {error}") from error
        if frame.fields.get("protocol") != PROTOCOL:
            raise StartupError("upgrade: the running version hands over in a way that this one does not understand; stop it and start this")
        self._pid = frame.fields["pid"]
        self._announced = {(role, host, port) for role, host, port in frame.fields["listeners"]}
        logger.info("taking over from pid %d", self._pid)

    def will_inherit(self, role: str, host: str, port: int) -> bool:
        """Whether a listening socket comes from the former process, so that it must not be opened here."""
        return (role, host, port) in self._announced

    def take(self) -> None:
        """Say that this process is ready, and receive everything. Nothing of it may be touched yet.

        Raises:
            StartupError: the former process has decided to go on itself, or is gone.

        """
        try:
            self._channel.send("ready", {"version": self._version})
            self._channel.timeout = PROBATION + START_MARGIN
            self._state = HandoverState.receive(self._channel)
            self._channel.send("taken")
            self._channel.receive("serve")
            self._sockets = {(one.role, one.host, one.port): socket.socket(fileno=one.descriptor) for one in self._state.listeners}
            self._channel.send("serving")
        except ChannelError as error:
            raise StartupError(f"upgrade: {error}") from error

    def inherited(self, role: str, host: str, port: int) -> socket.socket | None:
        """Take a listening socket that came from the former process; None if there is no such one."""
        return self._sockets.pop((role, host, port), None)

    def inherited_peers(self, hosts: Iterable[str], port: int) -> dict[tuple[str, int], socket.socket]:
        """Take the listening sockets for peers at these addresses, as far as there are any."""
        found = {(host, port): self.inherited(PEERS, host, port) for host in hosts}
        return {address: sock for address, sock in found.items() if sock is not None}

    def serve(self, service: LiveService) -> None:
        """Go on with connections and requests, and begin to pass on what the former process still answers."""
        service.adopt(self._state)
        for unused in self._sockets.values():
            unused.close()
        logger.info(
            "%d connections and %d waiting requests were taken over from pid %d",
            len(self._state.connections),
            len(self._state.requests),
            self._pid,
        )
        keys = set(self._state.keys_at_work)
        self._state = HandoverState(0)
        self._channel.timeout = SILENCE
        self._former_is_at_work = True
        threading.Thread(target=self._pass_on, args=(keys, service), name="former-process", daemon=True).start()

    def stopping(self) -> None:
        """Tell the former process, if it is still there, that the end of this one is wanted."""
        with contextlib.suppress(ChannelError):
            self._channel.send("stopping")

    def _pass_on(self, keys: set[Hashable], service: LiveService) -> None:
        """Until the former process is done: post its replies, then let those conversations go on that it is done with."""
        try:
            while (frame := self._channel.receive("work", "bye")).kind == "work":
                take = PayloadCutter(frame.payload).take
                replies = [(uuid, take(size)) for uuid, size in frame.fields["replies"]]
                if replies:
                    service.pass_on(replies, len(frame.payload))
                at_work: set[Hashable] = set(map(tuple, frame.fields["keys_at_work"]))
                service.unblock(keys - at_work)
                self._former_is_at_work = not frame.fields["done"]
                keys = at_work
            logger.info("pid %d has answered all that it had begun", self._pid)
        except ChannelError as error:
            logger.error("pid %d ended before it had answered all that it had begun: %s", self._pid, error)
        finally:
            self._former_is_at_work = False
            service.unblock()
            self._channel.close()
