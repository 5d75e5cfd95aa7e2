"""All connections of the proxy: who may connect, which uuid they get, how the workers' responses reach them. Reactor thread only."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from dbproxy.net.allowed_peers import may_connect
from dbproxy.net.conn_state import ConnState, ServerLimits
from dbproxy.net.connection_counters import ConnectionCounters, ConnReport, Traffic, report_of
from dbproxy.net.interfaces import Responses, Work
from dbproxy.net.listener import Listener
from dbproxy.net.memory_limits import holding_most, slowest_readers
from dbproxy.net.proxy_conn import ProxyConn
from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_COMMAND_ID, STOP_RECEIVE_PDU
from dbproxy.wire.pdu import ImPdu

logger = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two checks of heartbeats and timeouts."""

LAST_UUID = 2**32 - 1

LATE_TICK = 1.0
"""Seconds by which a tick must be late for the time to count as one in which this process did not run."""


class ProxyServer:
    """Listens on every address, keeps the connections by uuid and sends what the workers have answered.

    ``on_pdus`` gets what a connection has sent.
    """

    def __init__(
        self,
        reactor: Reactor,
        limits: ServerLimits,
        responses: Responses,
        work: Work,
        *,
        on_pdus: Callable[[ProxyConn, list[ImPdu]], None],
    ) -> None:
        self._reactor = reactor
        self._limits = limits
        self._responses = responses
        self._work = work
        self._on_pdus = on_pdus
        self._listeners: list[Listener] = []
        self._connections: dict[int, ProxyConn] = {}
        self._pending = 0
        self._last_uuid = 0
        self._last_tick = time.monotonic()
        self._paused_since: float | None = None
        self._paused_alone: set[int] = set()
        self._draining = self._suspended = False
        self._takes_no_more = False
        self._last_request = 0.0
        self.counters = ConnectionCounters()
        reactor.add_loop_callback(self.send_response_pdu_list)
        reactor.add_loop_callback(self._check_overload)
        reactor.call_every(TICK, self._tick)

    @property
    def is_draining(self) -> bool:
        """Whether ``stop_receiving`` has been called."""
        return self._draining

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [listener.address for listener in self._listeners]

    @property
    def flushed(self) -> bool:
        """Whether every connection has taken what was sent to it."""
        return all(connection.flushed for connection in self._connections.values())

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read at the moment because of too much work, so that requests may be waiting in the sockets."""
        return (self._paused_since is not None or bool(self._paused_alone)) and not self._takes_no_more

    @property
    def last_request(self) -> float:
        """When a peer last sent something other than a heartbeat (monotonic time); asked for, and known, only after ``stop_receiving``."""
        unfinished = (connection.last_received for connection in self._connections.values() if connection.has_part_of_a_pdu)
        return max([self._last_request, *unfinished])

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def max_connections(self) -> int:
        """How many connections there may be. Any thread."""
        return self._limits.max_connections

    @property
    def pending(self) -> int:
        """Bytes of the unfinished PDUs of all connections. Any thread."""
        return self._pending

    def traffic(self) -> Traffic:
        """What all connections have received and sent since the start. Any thread."""
        return self.counters.traffic(lambda: list(self._connections.values()))

    def reports(self) -> list[ConnReport]:
        """Every connection at this moment."""
        now = time.monotonic()
        return [report_of(connection, now) for connection in self._connections.values()]

    def configure(self, limits: ServerLimits) -> None:
        """Change the limits, also those of the connections that are open. No connection is closed for that now: who may connect is asked
        of new ones, and what all together may have is checked when they get more, and once a second.
        """
        self._limits = limits
        for connection in tuple(self._connections.values()):
            connection.configure(limits.connection)

    def listen(self, sockets: Mapping[tuple[str, int], socket.socket]) -> None:
        """Accept connections on listening sockets, which belong to this server from now on; by their address in the configuration."""
        for configured, sock in sockets.items():
            listener = Listener(sock, configured, self._reactor, self._accept)
            self._listeners.append(listener)
            listener.start()
            logger.info("listening on %s:%d", *listener.address)
        self._last_tick = time.monotonic()  # before, another process may have served, so nothing was late

    def send_response_pdu_list(self) -> None:
        """Loop callback: send what the workers have answered, one system call per connection. A uuid that is gone is dropped."""
        if self._suspended:
            return
        responses = self._responses.drain()
        if not responses:
            return
        continued = self._responses.continuations()
        by_uuid: dict[int, list[bytes]] = {}
        for uuid, pdu in responses:
            by_uuid.setdefault(uuid, []).append(pdu)
        try:
            for uuid, pdus in by_uuid.items():
                connection = self._connections.get(uuid)
                if connection is not None:
                    connection.send(pdus, continued.get(uuid, 0) if continued else 0)
        finally:
            self._responses.sent()

    # another process takes over

    def suspend(self) -> None:
        """Leave every socket alone until ``resume``: nobody is accepted, nothing is read or written, and no time limit is looked at."""
        self._suspended = True
        for listener in self._listeners:
            listener.stop()
        for connection in self._connections.values():
            connection.suspend()

    def resume(self) -> None:
        """Go on as before ``suspend``."""
        self._suspended = False
        self._last_tick = time.monotonic()
        for listener in self._listeners:
            listener.start()
        for connection in tuple(self._connections.values()):
            connection.resume()

    @property
    def listeners(self) -> Sequence[Listener]:
        """The listening sockets."""
        return self._listeners

    def connection_states(self) -> list[ConnState]:
        """Every connection as another process can go on with it; after ``suspend``."""
        return [connection.state() for connection in self._connections.values()]

    @property
    def last_uuid(self) -> int:
        """The uuid of the newest connection that there has been."""
        return self._last_uuid

    def adopt(self, last_uuid: int, states: Iterable[tuple[ConnState, socket.socket]]) -> None:
        """Go on with connections of another process, whose newest one was ``last_uuid``. Nobody must be connected yet."""
        self._last_uuid = last_uuid
        self._last_tick = time.monotonic()
        for state, sock in states:
            self._add(state.uuid, sock, state.peer).restore(state)

    def abandon(self) -> None:
        """Let go of all connections after ``suspend``: another process has them."""
        for connection in self._connections.values():
            connection.abandon()
            self._responses.keep(connection.uuid, 0)
        self._connections.clear()
        self._paused_alone.clear()
        self._pending = 0

    # the end

    def stop_receiving(self) -> None:
        """Accept nobody any more and tell every peer to take new work elsewhere; what they send is still answered."""
        self._draining = True
        for listener in self._listeners:
            listener.accept_the_rest()
            listener.close()
        logger.info("draining: %d connections are told to send new work elsewhere", len(self._connections))
        for connection in tuple(self._connections.values()):
            connection.send((STOP_RECEIVE_PDU,))

    def take_no_more(self) -> None:
        """After ``stop_receiving``: drop what the peers send from now on; what has been taken is still answered. What is dropped is read
        all the same, so that closing resets nothing.
        """
        self._takes_no_more = True
        for connection in tuple(self._connections.values()):
            connection.pause_reading(False)

    def finish_sending(self) -> None:
        """Tell every peer that nothing more comes; all answers must have been sent."""
        for connection in tuple(self._connections.values()):
            connection.finish_sending()

    def close(self) -> None:
        """Close everything."""
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self._connections.values()):
            connection.close("the proxy stops")

    def _accept(self, sock: socket.socket, ip: str, port: int) -> None:
        peer = f"{ip}:{port}"
        if not may_connect(ip, self._limits.allowed_peers):
            self.counters.refused += 1
            logger.warning("connection refused: not among AllowedPeers [peer=%s]", peer)
            sock.close()
            return
        if len(self._connections) >= self._limits.max_connections:
            self.counters.refused += 1
            logger.warning("connection refused: there are %d already (MaxConnections) [peer=%s]", len(self._connections), peer)
            sock.close()
            return
        connection = self._add(self._next_uuid(), sock, peer)
        self.counters.accepted += 1
        if self._paused_since is not None and not self._takes_no_more:
            connection.pause_reading(True)
        logger.info("connected [peer=%s uuid=%d]", peer, connection.uuid)

    def _add(self, uuid: int, sock: socket.socket, peer: str) -> ProxyConn:
        connection = ProxyConn(
            uuid, sock, peer, self._reactor, self._limits.connection, self._receive, self._forget, self._on_pending, self._responses.keep
        )
        self._connections[uuid] = connection
        return connection

    def _next_uuid(self) -> int:
        """The next number; after 32 bits it begins again at 1 and leaves out those that are in use."""
        while True:
            self._last_uuid = self._last_uuid % LAST_UUID + 1
            if self._last_uuid not in self._connections:
                return self._last_uuid

    def _forget(self, connection: ProxyConn) -> None:
        self.counters.forget(connection, lambda: self._connections.pop(connection.uuid, None))
        self._paused_alone.discard(connection.uuid)

    def _receive(self, connection: ProxyConn, pdus: list[ImPdu]) -> None:
        """Hand on what a connection has sent. Whether that was one too many is asked at once, and not at the end of the turn: a thousand
        connections that are all readable in this turn would bring a thousand times as much as there is room for.
        """
        if self._draining:
            if self._takes_no_more:
                return
            if any(pdu.command_id != HEARTBEAT_COMMAND_ID for pdu in pdus):
                self._last_request = time.monotonic()
        self._on_pdus(connection, pdus)
        self._check_overload()
        if self._work.large_overloaded and self._work.has_large(connection.uuid) and not connection.closed:
            self._paused_alone.add(connection.uuid)
            connection.pause_reading(True)

    def _check_overload(self) -> None:
        """Also a loop callback: pause or resume reading everywhere when the workers have too much to do, or no longer."""
        if self._suspended:
            return
        overloaded = self._work.overloaded
        if self._paused_alone and not self._work.large_overloaded and not self._takes_no_more:
            for uuid in self._paused_alone & self._connections.keys():
                self._connections[uuid].pause_reading(overloaded)
            self._paused_alone.clear()
        if overloaded == (self._paused_since is not None) or self._takes_no_more:
            return
        now = time.monotonic()
        waiting, oldest = self._work.waiting()
        if self._paused_since is None:
            self._paused_since = now
            self.counters.pauses += 1
            logger.warning(
                "reading paused (MaxWaitingRequests, MaxWaitingBytes): %d requests wait for a worker, the oldest for %.1f s",
                waiting,
                oldest,
            )
        else:
            paused_for = now - self._paused_since
            self._paused_since = None
            logger.warning(
                "reading resumed after %.1f s: %d requests wait for a worker, the oldest for %.1f s", paused_for, waiting, oldest
            )
        for connection in tuple(self._connections.values()):
            connection.pause_reading(overloaded or connection.uuid in self._paused_alone)

    def _on_pending(self, delta: int) -> None:
        """The unfinished PDU of a connection has grown, or shrunk; the sum is checked now, because a thousand connections may all grow in
        one turn.
        """
        self._pending += delta
        if delta > 0:
            self._limit_pending()

    def _tick(self) -> None:
        if self._suspended:
            return
        now = time.monotonic()
        late = now - self._last_tick - TICK
        self._last_tick = now
        if late > LATE_TICK:
            logger.warning("this process did not run for %.1f s, which does not count as silence of the peers", late)
        for connection in tuple(self._connections.values()):
            if late > LATE_TICK:
                connection.skip_time(late)
            connection.on_tick(now)
        self._limit_pending()
        self._limit_backlog(now)

    def _limit_pending(self) -> None:
        """Close connections while all together hold too much, see ``holding_most``."""
        limit = self._limits.max_pending
        if self._pending + self._work.held_bytes <= limit:
            return
        for connection, size in holding_most(tuple(self._connections.values()), self._work.held_memory(), limit):
            connection.close(f"all connections together hold too much, and this one {size} bytes of it", logging.WARNING)

    def _limit_backlog(self, now: float) -> None:
        """Close connections while all together keep too much for their peers, see ``slowest_readers``."""
        for connection, size in slowest_readers(tuple(self._connections.values()), self._limits.max_backlog, now):
            connection.close(f"reads too slowly, and all together keep too much: {size} bytes of it", logging.WARNING)
