"""ProxyConn: one connection of a message server (or another TeamTalk server). Reactor thread only."""

from __future__ import annotations

import contextlib
import logging
import math
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from dbproxy.net.backlog import Backlog
from dbproxy.net.conn_state import ConnLimits, ConnState
from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_PDU
from dbproxy.wire.pdu import Framer, ImPdu

logger = logging.getLogger(__name__)

READ_SIZE = 256 * 1024
"""Bytes taken from a socket at once: the fair share of one connection in one turn of the loop."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class ProxyConn:
    """One accepted connection: reads PDUs, keeps what the socket does not take, sends heartbeats.

    ``uuid`` grows from 1 and is never the file descriptor: a descriptor is used again by the next connection while a worker may
    still be busy with a request of the former one. Replies are addressed to the uuid, so they cannot reach the wrong peer.

    ``on_pending(delta)`` is told by how many bytes the unfinished PDU has grown, ``on_backlog(uuid, bytes)`` what could not be sent yet.
    """

    __slots__ = (
        "_backlog",
        "_events",
        "_framer",
        "_last_received",
        "_last_sent",
        "_limits",
        "_on_backlog",
        "_on_closed",
        "_on_pdus",
        "_on_pending",
        "_paused_by_pool",
        "_pending",
        "_reactor",
        "_socket",
        "_suspended",
        "bytes_in",
        "bytes_out",
        "closed",
        "opened",
        "pdus_in",
        "pdus_out",
        "peer",
        "uuid",
    )

    def __init__(
        self,
        uuid: int,
        sock: socket.socket,
        peer: str,
        reactor: Reactor,
        limits: ConnLimits,
        on_pdus: Callable[[ProxyConn, list[ImPdu]], None],
        on_closed: Callable[[ProxyConn], None],
        on_pending: Callable[[int], None],
        on_backlog: Callable[[int, int], None],
    ) -> None:
        self.uuid = uuid
        self.peer = peer
        self.closed = False
        self._socket = sock
        self._reactor = reactor
        self._limits = limits
        self._on_pdus = on_pdus
        self._on_closed = on_closed
        self._on_pending = on_pending
        self._on_backlog = on_backlog
        self._framer = Framer(limits.max_pdu_length)
        self._backlog = Backlog()
        self._pending = 0
        self._paused_by_pool = self._suspended = False
        self.pdus_in = self.pdus_out = self.bytes_in = self.bytes_out = 0
        self.opened = self._last_sent = self._last_received = time.monotonic()
        self._events = _READ
        reactor.register(sock, _READ, self._on_event)

    @property
    def pending(self) -> int:
        """Bytes held of an unfinished PDU."""
        return self._pending

    @property
    def backlog(self) -> Backlog:
        """What could not be sent yet."""
        return self._backlog

    @property
    def reads(self) -> bool:
        """Whether what the peer sends is read at the moment."""
        return bool(self._events & _READ)

    @property
    def has_part_of_a_pdu(self) -> bool:
        """Whether the peer has sent the beginning of a PDU and not yet its end."""
        return self._framer.pending > 0

    @property
    def last_received(self) -> float:
        """When something last came from the peer (monotonic time)."""
        return self._last_received

    @property
    def flushed(self) -> bool:
        """Whether everything given to ``send`` has gone to the kernel."""
        return not self._backlog

    def send(self, pdus: Sequence[bytes], continued: int = 0) -> None:
        """Send these PDUs in order, short ones with one system call; what the socket does not take is sent when it does. ``continued``: so
        many of them are parts of the PDU before.
        """
        if self.closed:
            return
        self._last_sent = time.monotonic()
        self.pdus_out += len(pdus) - continued
        size = len(pdus[0]) if len(pdus) == 1 else sum(map(len, pdus))
        if self._backlog.size or (size > READ_SIZE and len(pdus) > 1):
            self._keep(pdus, size)
            return
        data = pdus[0] if len(pdus) == 1 else b"".join(pdus)
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.close(f"sending failed: {error}")
            return
        self.bytes_out += sent
        if sent < size:
            self._keep((memoryview(data)[sent:],), size - sent)

    def configure(self, limits: ConnLimits) -> None:
        """Change the limits."""
        self._limits = limits
        self._framer.max_length = limits.max_pdu_length
        if not self.closed:
            self._watch()  # more may be unsent now than before, or less, before reading stops

    def pause_reading(self, paused: bool) -> None:
        """Stop or resume reading because the workers have (no longer) more than they can do."""
        if self._paused_by_pool != paused:
            self._paused_by_pool = paused
            self._watch()

    def on_tick(self, now: float) -> None:
        """Once a second: heartbeat after silence of ours, close after silence of the peer's or when it does not read."""
        limits = self._limits
        self._backlog.tick(self._socket, now)
        if self._backlog.seconds_blocked(now) > limits.send_timeout:
            self.close(f"took none of {self._backlog.size} bytes for {limits.send_timeout:g} s", logging.WARNING)
        elif now - self._last_received > limits.peer_timeout and _READ & self._events:
            self.close(f"silent for {limits.peer_timeout:g} s", logging.WARNING)
        elif now - self._last_sent >= limits.heartbeat_interval and not self._backlog:
            self.send((HEARTBEAT_PDU,))

    def skip_time(self, seconds: float) -> None:
        """Do not count ``seconds`` in which this process did not run (a suspended virtual machine, SIGSTOP) as silence of the peer's."""
        self._last_received += seconds
        self._backlog.skip_time(seconds)

    def suspend(self) -> None:
        """Neither read nor write until ``resume``; ``send`` and ``on_tick`` must not be called."""
        self._suspended = True
        self._watch()

    def resume(self) -> None:
        """Read and write again."""
        self._suspended = False
        self._watch()

    def state(self) -> ConnState:
        """What another process needs to go on with a suspended connection."""
        return ConnState(
            uuid=self.uuid,
            peer=self.peer,
            descriptor=self._socket.fileno(),
            opened=self.opened,
            last_received=self._last_received,
            last_sent=self._last_sent,
            unfinished=self._framer.unfinished,
            unsent=self._backlog.parts,
        )

    def restore(self, state: ConnState) -> None:
        """Go on where another process has suspended it; of a connection that has just been made with the same uuid and socket."""
        self.opened, self._last_received, self._last_sent = state.opened, state.last_received, state.last_sent
        if state.unsent:
            self._keep(state.unsent, sum(map(len, state.unsent)))
        self._take(state.unfinished)

    def abandon(self) -> None:
        """Let go of a suspended connection that another process goes on with: nothing is sent, the peer notices nothing."""
        self.closed = True
        self._socket.close()

    def finish_sending(self) -> None:
        """Tell the peer that nothing more comes. What it sends is still read; ``send`` must not be called any more."""
        self._last_sent = math.inf  # no heartbeats either
        with contextlib.suppress(OSError):  # the peer is gone already
            self._socket.shutdown(socket.SHUT_WR)

    def close(self, reason: str, level: int = logging.INFO) -> None:
        """Close the connection and forget it; a second call does nothing."""
        if self.closed:
            return
        self.closed = True
        logger.log(level, "connection closed: %s [peer=%s uuid=%d]", reason, self.peer, self.uuid)
        if self._events:
            self._reactor.unregister(self._socket)
        self._socket.close()
        self._backlog.clear()
        self._on_backlog(self.uuid, 0)
        self._on_pending(-self._pending)
        self._pending = 0
        self._framer.clear()  # the selector may name this connection until the end of the turn
        self._on_closed(self)

    def _on_event(self, mask: int) -> None:
        if mask & _WRITE and not self.closed:
            self._flush()
        # Reading may have been paused since the selector looked: by another connection in this turn, or by our own backlog.
        if mask & _READ & self._events and not self.closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"reading failed: {error}")
            return
        if not data:
            self.close("the peer closed it")
            return
        self._last_received = time.monotonic()
        self.bytes_in += len(data)
        self._take(data)

    def _take(self, data: bytes) -> None:
        """Hand on the PDUs that are complete with ``data``."""
        pdus = self._framer.feed(data)
        if pdus:
            self.pdus_in += len(pdus)
            self._on_pdus(self, pdus)
        if self._framer.error is not None:
            self.close(self._framer.error, logging.WARNING)
            return
        pending = self._framer.pending
        if pending != self._pending and not self.closed:
            delta, self._pending = pending - self._pending, pending
            self._on_pending(delta)

    def _keep(self, parts: Sequence[bytes | memoryview], size: int) -> None:
        self._backlog.add(parts, size, self._last_sent)
        if len(parts) > 1 and not self._events & _WRITE:
            self._flush()
        else:
            self._on_backlog(self.uuid, self._backlog.size)
            self._watch()

    def _flush(self) -> None:
        try:
            sent = self._backlog.send(self._socket)
        except OSError as error:
            self.close(f"sending failed: {error}")
            return
        if sent:
            self._last_sent = time.monotonic()
            self.bytes_out += sent
        self._on_backlog(self.uuid, self._backlog.size)
        self._watch()

    def _watch(self) -> None:
        """Tell the selector what this connection waits for now; with nothing to wait for it is not registered at all."""
        events = 0
        if not self._suspended:
            if not self._paused_by_pool and self._backlog.size <= self._limits.max_send_buffer:
                events |= _READ
            if self._backlog:
                events |= _WRITE
        if events == self._events:
            return
        if not self._events:
            self._reactor.register(self._socket, events, self._on_event)
        elif not events:
            self._reactor.unregister(self._socket)
        else:
            self._reactor.modify(self._socket, events, self._on_event)
        if events & _READ and not self._events & _READ:
            self._last_received = time.monotonic()  # the silence was ours
        self._events = events
