"""LiveService: the parts of a running proxy that change hands, suspended, resumed, given or taken as one. Reactor thread only, where
nothing else is said.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Iterable, Sequence

from dbproxy.errors import UpgradeError
from dbproxy.handover.state import HandoverState, ListenerState, RequestState
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.wire.pdu import ImPdu
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.response_deque import Response, ResponseDeque
from dbproxy.work.thread_pool import ThreadPool

PEERS = "peers"
"""The role of the listening sockets to which message servers connect."""


class Suspended:
    """What was taken out of a proxy when it was suspended: the state for the other process, and what is needed to go on without it."""

    def __init__(self, state: HandoverState, tasks: Sequence[ProxyTask]) -> None:
        self.state = state
        self.tasks = tasks


def _request_state(task: ProxyTask) -> RequestState:
    return RequestState(task.conn_uuid, task.peer, task.handler.command.command_id, task.seq_num, task.received_at, task.body)


class LiveService:
    """Server, pool and deque of one proxy. ``extra_listeners``: further sockets that are handed over, by role, host and port."""

    def __init__(
        self,
        server: ProxyServer,
        pool: ThreadPool,
        responses: ResponseDeque,
        dispatcher: Dispatcher,
        extra_listeners: Callable[[], Iterable[ListenerState]] = tuple,
        former_is_at_work: Callable[[], bool] = bool,
    ) -> None:
        """``former_is_at_work``: whether replies of a process that this one has replaced are still to come."""
        self._server = server
        self._pool = pool
        self._responses = responses
        self._dispatcher = dispatcher
        self._extra_listeners = extra_listeners
        self._former_is_at_work = former_is_at_work
        self._suspended = False

    @property
    def is_suspended(self) -> bool:
        """Whether the sockets must be left alone, because another process may be about to get them."""
        return self._suspended

    # the process that gives

    def listening_addresses(self) -> list[tuple[str, str, int]]:
        """Role, host and port (as in the configuration) of the sockets that will be handed over."""
        return [(one.role, one.host, one.port) for one in self._listeners()]

    def suspend(self) -> Suspended:
        """Leave the sockets alone, begin no request, and return what another process needs to go on.

        Raises:
            UpgradeError: the proxy is about to stop; nothing is suspended.

        """
        if self._server.is_draining:
            raise UpgradeError("the proxy is about to stop")
        self._suspended = True
        self._pool.stop_taking()
        suspended = Suspended(HandoverState(self._server.last_uuid), self._pool.take_back())
        try:
            suspended.state.keys_at_work += self._pool.ordering_keys_at_work()
            # Replies to what is not among these keys have been posted; later messages of those conversations must not overtake them.
            self._server.send_response_pdu_list()
            self._server.suspend()
            suspended.state.listeners += self._listeners()
            suspended.state.connections += self._server.connection_states()
            suspended.state.requests += map(_request_state, suspended.tasks)
        except BaseException:
            self.resume(suspended)
            raise
        return suspended

    def resume(self, suspended: Suspended) -> None:
        """Go on as if nothing had happened."""
        self._pool.put(suspended.tasks)
        self._server.resume()
        self._pool.start_taking()
        self._suspended = False

    def abandon(self) -> None:
        """Let go of the connections, which the other process serves; what has been begun is answered through ``collect``. The listening
        sockets stay open, and nobody is accepted.
        """
        self._server.abandon()
        self._pool.start_taking()

    def take_back(self) -> None:
        """After ``abandon``: accept connections again, because the other process has died."""
        self._server.resume()
        self._suspended = False

    def collect(self) -> tuple[Sequence[Response], list[Hashable], bool]:
        """After ``abandon``: the replies that have been made, the ordering keys of what is still at work, and whether that is all."""
        keys = self._pool.ordering_keys_at_work()  # before the replies: those of a batch are posted before it is done
        done = not (self._pool.outstanding or self._former_is_at_work())
        replies = self._responses.drain()
        if replies:
            self._responses.sent()
        return replies, keys, done

    def _listeners(self) -> list[ListenerState]:
        own = [ListenerState(PEERS, *one.configured, one.fileno()) for one in self._server.listeners]
        return [*own, *self._extra_listeners()]

    # the process that takes

    def adopt(self, state: HandoverState) -> None:
        """Go on with the connections and requests of another process."""
        self._pool.block(state.keys_at_work)
        for request in state.requests:
            pdu = ImPdu(0, request.command_id, request.seq_num, request.body)
            self._dispatcher.dispatch(request.uuid, request.peer, (pdu,), request.received_at)
        self._server.adopt(state.last_uuid, [(one, socket.socket(fileno=one.descriptor)) for one in state.connections])
        self._pool.wake_worker()

    def pass_on(self, replies: Sequence[Response], size: int) -> None:
        """Send replies of the former process, ``size`` bytes in all. Any thread."""
        self._responses.post(replies, size)

    def unblock(self, keys: Iterable[Hashable] | None = None) -> None:
        """The former process is done with requests of these ordering keys (None: with all). Any thread."""
        self._pool.unblock(keys)
