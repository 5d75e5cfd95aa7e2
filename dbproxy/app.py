"""The composition root: the only file that knows every layer. It builds the proxy from a Config, starts and stops it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable

from dbproxy import __version__, descriptors
from dbproxy.assembly import Stores, assemble, observe
from dbproxy.components import Components
from dbproxy.config import Config
from dbproxy.handover.channel import Channel
from dbproxy.handover.new_process import NewProcess
from dbproxy.handover.retirement import LINGER
from dbproxy.handover.service import PEERS, LiveService
from dbproxy.handover.takeover import Takeover
from dbproxy.handover.upgrades import Done, Upgrades
from dbproxy.lifecycle import Drain, connect_when_ready, keep_notifying
from dbproxy.net.listener import listening_sockets
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.notify import Notifier
from dbproxy.ops.operations import ADMIN, Operations
from dbproxy.ops.snapshot import Observed
from dbproxy.reload import ConfigSource, Reloader, ReloadReport
from dbproxy.stores.moves import PoolMoves
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.sync_center import SyncCenter
from dbproxy.work.queue_report import QueueReport
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.thread_pool import ThreadPool
from dbproxy.work.tracing import Tracing
from dbproxy.work.worker_calls import WorkerCalls

logger = logging.getLogger(__name__)

QUEUE_CHECK = 1.0
"""Seconds between two checks how long requests have waited for a worker."""

LAST_JOIN = 1.0
"""Seconds that the threads have to end once nothing is left to do; less if StopGrace is over before that."""


def _nothing(*_: object) -> None:
    """Who asked does not want to know."""


class Application:
    """One proxy. ``start`` and ``run`` belong to the same thread, which becomes the reactor thread; several proxies can live in one
    process, each with its own.
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier | None = None,
        source: ConfigSource | None = None,
        *,
        new_process: NewProcess | None = None,
        predecessor: Channel | None = None,
        on_taken_back: Callable[[], None] = _nothing,
    ) -> None:
        """``source``: where ``reload`` reads the configuration; without one there is nothing to reload. ``new_process``: how to start the
        process that takes over at an upgrade; without it there are no upgrades. ``predecessor``: the channel to the process that this one
        takes over from. ``on_taken_back`` is called in the reactor thread when this proxy serves again because the one that took over from
        it has died.
        """
        self._config = config
        self._content_limits = ContentLimits(0, 0)
        self._reloader = None if source is None else Reloader(self, source)
        self._components: Components | None = None
        self._notifier = notifier or Notifier()
        self._reactor = Reactor()
        self._responses = ResponseDeque(self._reactor.wake, config.max_send_buffer, config.max_send_buffer_total)
        self._stores = Stores.of(config, WorkerCalls(self._responses))
        self._new_process = new_process
        self._takeover = None if predecessor is None else Takeover(predecessor, __version__)
        self._service: LiveService | None = None
        self._upgrades: Upgrades | None = None
        self._on_taken_back = on_taken_back
        self._stop_requested = False
        self._actions: deque[Callable[[], None]] = deque()
        self._drain: Drain | None = None
        self._serving = False
        self._observed: Observed | None = None
        self._tracing = Tracing()
        self._operations = Operations(self, self._tracing)

    @property
    def config(self) -> Config:
        """What it works with. Any thread."""
        return self._config

    @property
    def open_connections(self) -> int:
        """How many peers are connected. Any thread."""
        return 0 if self._components is None else len(self._components.server)

    @property
    def observed(self) -> Observed:
        """The parts that operators look at; RuntimeError before the start. Any thread."""
        if self._observed is None:
            raise RuntimeError("the proxy has not been started")
        return self._observed

    @property
    def state(self) -> str:
        """serving, draining or upgrading. Any thread."""
        if self._upgrades is not None and self._upgrades.is_active:
            return "upgrading"
        return "serving" if self._drain is None else "draining"

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """Where the HTTP endpoint listens, if there is one. Any thread, after ``start``."""
        endpoint = self._operations.endpoint
        return None if endpoint is None else endpoint.address

    @property
    def port(self) -> int:
        """The port it listens on, also when the configuration says 0. Any thread, after ``start``."""
        return self.components.server.addresses[0][1]

    def start(self) -> None:
        """Connect to the backends, check them, start the threads and listen.

        Raises:
            StartupError: a backend that cannot be used, a port that cannot be listened on; nothing is left running then.
            StopRequestedError: a stop was asked for while it waited for the backends; likewise.

        """
        try:
            self._start()
        except BaseException:
            self._release()
            raise
        logger.info("db_proxy_server %s is ready with %d worker threads", __version__, self._config.thread_num)

    def run(self) -> int:
        """Serve until ``request_stop``, drain, and return the exit code. Reactor thread."""
        if self._takeover is None:
            self._notifier.ready()
        else:  # after the former process has named this one; until then it would serve again if this one died
            self._reactor.call_later(LINGER + 1.0, self._notifier.ready)
        self._reactor.run()
        self._release()
        logger.info("stopped, another process serves" if self._is_suspended else "stopped")
        return 0

    def request_stop(self) -> None:
        """Ask the proxy to drain and stop. Any thread, and signal handlers."""
        self._stop_requested = True
        self._reactor.wake()

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have the reactor thread call ``action``, as soon as it runs. Any thread, and signal handlers."""
        self._actions.append(action)
        self._reactor.wake()

    # changing the configuration

    def reload(self, done: Callable[[ReloadReport], None] = _nothing) -> None:
        """Read the configuration again and apply it; ``done`` is told what became of it, by another thread. Any thread, once it runs."""

        def tell(report: ReloadReport) -> None:
            self._notifier.ready()
            if not report.problems:
                self._operations.log_level.reset()
            done(report)

        self._notifier.reloading()
        if self._reloader is None:
            tell(ReloadReport(problems=("this proxy was started without a configuration file",)))
        else:
            self._reloader.request(tell)

    @property
    def refusal(self) -> str:
        """Why the configuration cannot be changed now; empty: it can. Any thread."""
        if self._stop_requested:
            return "the proxy is stopping"
        if self._upgrades is not None and self._upgrades.is_active:
            return "an upgrade is going on"
        return "" if self._serving else "the proxy has not started"

    @property
    def workers(self) -> ThreadPool:
        """The worker threads. Any thread, after ``start``."""
        return self.components.pool

    @property
    def background(self) -> SyncCenter:
        """The group session sync. Any thread, after ``start``."""
        return self.components.sync_center

    def pool_moves(self) -> PoolMoves:
        """For a change of the pools of connections. Any thread."""
        return PoolMoves(self._stores.databases, self._stores.caches)

    def apply(self, config: Config, moves: PoolMoves) -> None:
        """Work with this configuration, whose pools have been switched, from now on. Reactor thread."""
        self._content_limits = moves.content_limits or self._content_limits
        self._config = config
        self.components.configure(config, self._content_limits)

    # another process takes over

    def upgrade(self, done: Done = _nothing) -> None:
        """Have another process take over; ``done`` is told the result. Any thread, and signal handlers, once it runs."""
        self.call_soon(lambda: None if self._upgrades is None else self._upgrades.request(done))

    def _build_upgrades(self, service: LiveService) -> Upgrades:
        config = self._config
        return Upgrades(
            self._new_process,
            self._reactor,
            self.call_soon,
            service,
            start_timeout=config.start_timeout,
            longest=2 * config.request_timeout + config.db_timeout + config.db_lock_timeout,
            on_handed_over=self._handed_over,
            on_settled=self._settled,
            on_taken_back=self._taken_back,
            on_retired=self._reactor.stop,
        )

    def _handed_over(self, pid: int) -> None:
        """Another process serves. A stop that was asked for in the last moment is for that one; later ones are for a process that ends by
        itself.
        """
        if self._stop_requested:
            os.kill(pid, signal.SIGTERM)
        self._operations.stop(handed_over=True)
        self._notifier.status("answering what was begun before the upgrade")

    def _settled(self, pid: int) -> None:
        """The other process will stay; it speaks to the service manager from here on."""
        self._notifier.main_pid(pid)
        self._notifier.close()

    def _taken_back(self) -> None:
        """The other process has died; this one serves again."""
        former, self._operations = self._operations, Operations(self, self._tracing)
        self._operations.listen(former.kept)
        self._operations.start(take_over=True)
        self._on_taken_back()

    def _status(self) -> str:
        """One line for the service manager."""
        server, pool = self.components.server, self.components.pool
        return f"{self.state}: {len(server)} connections, {pool.outstanding} requests waiting or at work"

    @property
    def _is_suspended(self) -> bool:
        """Whether the peers are, or may be about to be, those of another process."""
        return self._service is not None and self._service.is_suspended

    def _former_is_at_work(self) -> bool:
        """Whether the process before this one still answers requests."""
        return self._takeover is not None and self._takeover.former_is_at_work

    @property
    def components(self) -> Components:
        """The parts of the proxy; RuntimeError before ``start``."""
        if self._components is None:
            raise RuntimeError("the proxy has not been started")
        return self._components

    def _start(self) -> None:
        config = self._config
        descriptors.raise_limit()
        if self._takeover is not None:
            self._takeover.begin()
        if not self._inherits_admin:
            self._operations.listen()
        self._notifier.status("connecting to MySQL and Redis")
        self._content_limits = connect_when_ready(self._stores.connect, config.start_timeout, lambda: self._stop_requested)
        parts = self._components = assemble(config, self._content_limits, self._reactor, self._responses, self._stores, self._tracing)
        self._observed = observe(parts, self._reactor, self._stores)
        self._reactor.call_every(QUEUE_CHECK, QueueReport(parts.pool.waiting).check)
        self._reactor.add_loop_callback(self._run_actions)
        keep_notifying(self._notifier, self._reactor, self._status)
        parts.pool.start()
        service = self._service = LiveService(
            parts.server, parts.pool, self._responses, parts.dispatcher, self._operations.listeners, self._former_is_at_work
        )
        self._upgrades = self._build_upgrades(service)
        self._listen(parts.server, service)
        parts.sync_center.start()
        self._operations.start(take_over=self._takeover is not None)
        self._serving = True

    @property
    def _inherits_admin(self) -> bool:
        """Whether the socket of AdminListen comes from another process."""
        address = self._config.admin_listen
        return self._takeover is not None and address is not None and self._takeover.will_inherit(ADMIN, *address)

    def _listen(self, server: ProxyServer, service: LiveService) -> None:
        """Open the listening sockets, or take those of another process with all that belongs to it."""
        ips, port = self._config.listen_ips, self._config.listen_port
        if self._takeover is None:
            server.listen(listening_sockets(ips, port, {}))
            return
        own = [ip for ip in ips if not self._takeover.will_inherit(PEERS, ip, port)]
        sockets = listening_sockets(own, port, {})  # before the handover: a failure does no harm here
        self._takeover.take()
        if self._inherits_admin:
            self._operations.listen(self._takeover.inherited(ADMIN, *(self._config.admin_listen or ("", 0))))
        server.listen({**sockets, **self._takeover.inherited_peers(ips, port)})
        self._takeover.serve(service)

    def _run_actions(self) -> None:
        """Loop callback: what ``call_soon`` and ``request_stop`` have asked for."""
        while self._actions:
            self._actions.popleft()()
        if self._stop_requested and self._drain is None and not self._is_suspended:
            pool = self.components.pool
            self._notifier.stopping()
            if self._takeover is not None:
                self._takeover.stopping()
            self._drain = Drain(
                self._reactor,
                self.components.server,
                self._config.stop_grace,
                lambda: pool.outstanding + self._former_is_at_work(),
                lambda: self._responses.is_empty,
            )

    def _release(self) -> None:
        """Stop the threads and close everything; whatever of it there is."""
        deadline = time.monotonic() + LAST_JOIN
        if self._drain is not None:
            deadline = min(deadline, self._drain.deadline)
        self._operations.stop()
        if self._components is not None:
            self._components.sync_center.stop(max(0.0, deadline - time.monotonic()))
            self._components.pool.stop(max(0.0, deadline - time.monotonic()))
            self._components.server.close()
        self._reactor.close()
        self._stores.close()
        self._notifier.close()
