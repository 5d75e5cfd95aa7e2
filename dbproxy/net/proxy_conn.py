"""ProxyConn: one connection of a message server (or another TeamTalk server). Reactor thread only."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_PDU
from dbproxy.wire.pdu import Framer, ImPdu

logger = logging.getLogger(__name__)

READ_SIZE = 256 * 1024
"""Bytes taken from a socket at once: the fair share of one connection in one turn of the loop."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(frozen=True, slots=True)
class ConnLimits:
    """What a connection may cost; bytes and seconds, named like the keys of the configuration."""

    max_pdu_length: int
    max_send_buffer: int
    max_send_buffer_hard: int
    send_timeout: float
    heartbeat_interval: float
    peer_timeout: float


class ProxyConn:
    """One accepted connection: reads PDUs, keeps what the socket does not take, beats its heart.

    ``uuid`` grows from 1 and is never the file descriptor: a descriptor is used again by the next connection while a worker may
    still be busy with a request of the former one. Replies are addressed to the uuid, so they cannot reach the wrong peer.
    """

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_blocked_since",
        "_events",
        "_framer",
        "_last_received",
        "_last_sent",
        "_limits",
        "_on_closed",
        "_on_pdus",
        "_paused_by_pool",
        "_reactor",
        "_socket",
        "closed",
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
    ) -> None:
        self.uuid = uuid
        self.peer = peer
        self.closed = False
        self._socket = sock
        self._reactor = reactor
        self._limits = limits
        self._on_pdus = on_pdus
        self._on_closed = on_closed
        self._framer = Framer(limits.max_pdu_length)
        self._backlog: deque[bytes | memoryview] = deque()
        self._backlog_bytes = 0
        self._blocked_since = 0.0
        self._paused_by_pool = False
        self._last_sent = self._last_received = time.monotonic()
        self._events = _READ
        reactor.register(sock, _READ, self._on_event)

    @property
    def memory(self) -> int:
        """Bytes held for this connection: an unfinished PDU and what could not be sent yet."""
        return self._framer.pending + self._backlog_bytes

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

    def send(self, pdus: Sequence[bytes]) -> None:
        """Send these PDUs in order, with one system call if the socket takes them; what it does not take is sent when it does."""
        if self.closed:
            return
        data = pdus[0] if len(pdus) == 1 else b"".join(pdus)
        self._last_sent = time.monotonic()
        if self._backlog:
            self._keep(data)
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.close(f"sending failed: {error}")
            return
        if sent < len(data):
            self._blocked_since = self._last_sent
            self._keep(memoryview(data)[sent:])

    def pause_reading(self, paused: bool) -> None:
        """Stop or resume reading because the workers have (no longer) more than they can do."""
        if self._paused_by_pool != paused:
            self._paused_by_pool = paused
            self._watch()

    def on_tick(self, now: float) -> None:
        """Once a second: heartbeat after silence of ours, close after silence of the peer's or when it does not read."""
        limits = self._limits
        if self._backlog and now - self._blocked_since > limits.send_timeout:
            self.close(f"took none of {self._backlog_bytes} bytes for {limits.send_timeout:g} s", logging.WARNING)
        elif now - self._last_received > limits.peer_timeout and _READ & self._events:
            self.close(f"silent for {limits.peer_timeout:g} s", logging.WARNING)
        elif now - self._last_sent >= limits.heartbeat_interval and not self._backlog:
            self.send((HEARTBEAT_PDU,))

    def finish_sending(self) -> None:
        """Tell the peer that nothing more comes. What it sends is still read; ``send`` must not be called any more."""
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
        self._backlog_bytes = 0
        self._on_closed(self)

    def _on_event(self, mask: int) -> None:
        if mask & _WRITE:
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
        pdus = self._framer.feed(data)
        if pdus:
            self._on_pdus(self, pdus)
        if self._framer.error is not None:
            self.close(self._framer.error, logging.WARNING)

    def _keep(self, data: bytes | memoryview) -> None:
        self._backlog.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes > self._limits.max_send_buffer_hard:
            self.close(f"does not read: {self._backlog_bytes} bytes are waiting for it", logging.WARNING)
        else:
            self._watch()

    def _flush(self) -> None:
        while self._backlog:
            data = self._backlog[0]
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.close(f"sending failed: {error}")
                return
            self._blocked_since = self._last_sent = time.monotonic()
            self._backlog_bytes -= sent
            if sent < len(data):
                self._backlog[0] = memoryview(data)[sent:]
                break
            self._backlog.popleft()
        self._watch()

    def _watch(self) -> None:
        """Tell the selector what this connection waits for now; with nothing to wait for it is not registered at all."""
        events = 0
        if not self._paused_by_pool and self._backlog_bytes <= self._limits.max_send_buffer:
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
