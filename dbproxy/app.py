"""The composition root: the only file that knows every layer. It builds the proxy from a Config, starts and stops it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dbproxy import __version__, descriptors
from dbproxy.components import Components, queue_limits, server_limits
from dbproxy.config import Config
from dbproxy.handlers.buddy import BuddyHandlers
from dbproxy.handlers.file import FileHandlers
from dbproxy.handlers.group import GroupHandlers
from dbproxy.handlers.login import LoginHandlers
from dbproxy.handlers.message import MessageHandlers
from dbproxy.handlers.session import SessionHandlers
from dbproxy.lifecycle import Drain, connect_when_ready
from dbproxy.models.audio import AudioModel
from dbproxy.models.depart import DepartModel
from dbproxy.models.device import DeviceModel
from dbproxy.models.file import FileModel
from dbproxy.models.group import GroupModel
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_writer import GroupWriter
from dbproxy.models.login_attempts import LoginAttempts
from dbproxy.models.message import MessageModel
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.relation import RelationModel
from dbproxy.models.session import SessionModel
from dbproxy.models.sound_label import sound_label
from dbproxy.models.summary import Summaries
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.notify import Notifier
from dbproxy.ops.operations import Operations
from dbproxy.ops.snapshot import Observed
from dbproxy.reload import ConfigSource, Reloader, ReloadReport
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.moves import PoolMoves
from dbproxy.stores.mysql import DBManager, statement_name
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.stores.mysql.schema_check import check_schema
from dbproxy.stores.redis import CacheManager, pipeline_name
from dbproxy.sync_center import SyncCenter
from dbproxy.work.batch import FILE_SERVER, MYSQL, REDIS
from dbproxy.work.batch_executor import BatchExecutor
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import HandlerMap
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_report import QueueReport
from dbproxy.work.request_queues import RequestQueues
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool
from dbproxy.work.tracing import Tracing
from dbproxy.work.worker_calls import WorkerCalls

logger = logging.getLogger(__name__)

QUEUE_CHECK = 1.0
"""Seconds between two checks how long requests have waited for a worker."""

STATUS_INTERVAL = 5.0
"""Seconds between two lines for the service manager that say how much there is to do."""

LAST_JOIN = 1.0
"""Seconds that the threads have to end once nothing is left to do; less if StopGrace is over before that."""


class _Models(NamedTuple):
    """Those models that are needed in more than one place."""

    members: GroupMembers
    sessions: SessionModel
    relations: RelationModel
    messages: MessageModel
    group_messages: GroupMessageModel
    audio: AudioModel


def _nobody(_report: ReloadReport) -> None:
    """Who asked does not want to know."""


class Application:
    """One proxy. ``start`` and ``run`` belong to the same thread, which becomes the reactor thread; several proxies can live in one
    process, each with its own.
    """

    def __init__(self, config: Config, notifier: Notifier | None = None, source: ConfigSource | None = None) -> None:
        """``source``: where ``reload`` reads the configuration; without one there is nothing to reload."""
        self._config = config
        self._content_limits = ContentLimits(0, 0)
        self._reloader = None if source is None else Reloader(self, source)
        self._components: Components | None = None
        self._notifier = notifier or Notifier()
        self._reactor = Reactor()
        self._responses = ResponseDeque(self._reactor.wake, config.max_send_buffer, config.max_send_buffer_total)
        self._calls = WorkerCalls(self._responses)
        self._databases = DBManager(config, self._calls.backend(MYSQL, statement_name))
        self._caches = CacheManager(config, self._calls.backend(REDIS, pipeline_name))
        self._file_server_calls = self._calls.backend(FILE_SERVER, str)
        self._file_server = FileServer(
            config.msfs_site, config.file_server_timeout, config.audio_threads, config.max_audio_length, self._file_server_calls
        )
        self._recoveries = Recoveries()
        self._slow_requests = SlowRequests()
        self._slow_requests.configure(config.slow_request)
        self._pool: ThreadPool | None = None
        self._server: ProxyServer | None = None
        self._sync_center: SyncCenter | None = None
        self._stop_requested = False
        self._actions: deque[Callable[[], None]] = deque()
        self._drain: Drain | None = None
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
        return 0 if self._server is None else len(self._server)

    @property
    def observed(self) -> Observed:
        """The parts that operators look at; RuntimeError before the start. Any thread."""
        if self._observed is None:
            raise RuntimeError("the proxy has not been started")
        return self._observed

    @property
    def state(self) -> str:
        """Serving or draining. Any thread."""
        return "serving" if self._drain is None else "draining"

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """Where the HTTP endpoint listens, if there is one. Any thread, after ``start``."""
        endpoint = self._operations.endpoint
        return None if endpoint is None else endpoint.address

    @property
    def port(self) -> int:
        """The port it listens on, also when the configuration says 0. Any thread, after ``start``."""
        return self._started_server.addresses[0][1]

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
        self._notifier.ready()
        self._reactor.run()
        self._release()
        logger.info("stopped")
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

    def reload(self, done: Callable[[ReloadReport], None] | None = None) -> None:
        """Read the configuration again and apply it; ``done`` is told what became of it, by another thread. Any thread, once it runs."""

        def tell(report: ReloadReport) -> None:
            self._notifier.ready()
            if not report.problems:
                self._operations.log_level.reset()
            (done or _nobody)(report)

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
        return "" if self._components is not None else "the proxy has not started"

    @property
    def workers(self) -> ThreadPool:
        """The worker threads. Any thread, after ``start``."""
        return self._started_components.pool

    @property
    def background(self) -> SyncCenter:
        """The group session sync. Any thread, after ``start``."""
        return self._started_components.sync_center

    def pool_moves(self) -> PoolMoves:
        """For a change of the pools of connections. Any thread."""
        return PoolMoves(self._databases, self._caches)

    def apply(self, config: Config, moves: PoolMoves) -> None:
        """Work with this configuration, whose pools have been switched, from now on. Reactor thread."""
        self._content_limits = moves.content_limits or self._content_limits
        self._config = config
        self._started_components.configure(config, self._content_limits)

    @property
    def _started_components(self) -> Components:
        if self._components is None:
            raise RuntimeError("the proxy has not been started")
        return self._components

    @property
    def _started_server(self) -> ProxyServer:
        if self._server is None:
            raise RuntimeError("the proxy has not been started")
        return self._server

    def _start(self) -> None:
        config = self._config
        descriptors.raise_limit()
        self._operations.listen()
        self._notifier.status("connecting to MySQL and Redis")
        self._content_limits = connect_when_ready(self._connect, config.start_timeout, lambda: self._stop_requested)
        models = self._build_models()
        handlers = self._build_handlers(models)
        stats = RequestStats((handler.command.name for handler in handlers), self._slow_requests)
        executor = BatchExecutor(
            self._responses, self._calls, config.request_timeout, resubmit=self._put_again, hold=self._hold, tracing=self._tracing
        )
        pool = self._pool = self._build_pool(handlers, executor, stats)
        dispatcher = Dispatcher(handlers, pool.put, stats.recorder())
        server = self._server = ProxyServer(
            self._reactor,
            server_limits(config),
            self._responses,
            pool,
            on_pdus=lambda connection, pdus: dispatcher.dispatch(connection.uuid, connection.peer, pdus),
        )
        self._reactor.call_every(QUEUE_CHECK, QueueReport(pool.waiting).check)
        self._reactor.add_loop_callback(pool.release_drained)
        self._reactor.add_loop_callback(pool.wake_worker)
        self._reactor.add_loop_callback(self._run_actions)
        self._keep_notifying()
        pool.start()
        sync_center = self._sync_center = SyncCenter(self._databases.master, self._caches.unread, models.members, config.sync_interval)
        server.listen(config.listen_ips, config.listen_port)
        sync_center.start()
        self._components = Components(
            server=server,
            responses=self._responses,
            pool=pool,
            executor=executor,
            file_server=self._file_server,
            audio=models.audio,
            messages=models.messages,
            group_messages=models.group_messages,
            sync_center=sync_center,
            slow_requests=self._slow_requests,
        )
        self._observed = Observed(
            reactor=self._reactor,
            server=server,
            pool=pool,
            requests=stats,
            slow=self._slow_requests,
            responses=self._responses,
            master=self._databases.master,
            slave=self._databases.slave,
            pools=(*self._databases.pools.values(), *self._caches.pools.values()),
            file_server=self._file_server,
            recoveries=self._recoveries,
            sync_center=sync_center,
        )
        self._operations.start()

    def _keep_notifying(self) -> None:
        """Have the reactor tell the service manager, if there is one, that it turns and what there is to do."""
        if self._notifier.is_on:
            self._reactor.call_every(STATUS_INTERVAL, self._notify_status)
        if self._notifier.watchdog_interval is not None:
            self._reactor.call_every(self._notifier.watchdog_interval, self._notifier.watchdog)

    def _notify_status(self) -> None:
        if self._server is not None and self._pool is not None:
            self._notifier.status(f"{self.state}: {len(self._server)} connections, {self._pool.outstanding} requests waiting or at work")

    def _connect(self) -> ContentLimits:
        """Connect to every backend and check the tables. May be called again after it has failed."""
        self._caches.open()
        self._databases.open()
        return check_schema(self._databases)

    def _build_models(self) -> _Models:
        config, limits = self._config, self._content_limits
        master, slave, unread = self._databases.master, self._databases.slave, self._caches.unread
        recoveries = self._recoveries
        members = GroupMembers(master, slave, self._caches.group_member, recoveries)
        sessions = SessionModel(master, slave)
        relations = RelationModel()
        timeout = config.request_timeout
        return _Models(
            members,
            sessions,
            relations,
            MessageModel(master, slave, unread, relations, sessions, limits.message, timeout, recoveries),
            GroupMessageModel(master, slave, unread, members, sessions, limits.group_message, timeout, recoveries),
            AudioModel(slave, self._file_server, config.file_server_timeout, self._file_server_calls),
        )

    def _build_handlers(self, models: _Models) -> HandlerMap:
        master, slave, unread = self._databases.master, self._databases.slave, self._caches.unread
        users = UserModel(master, slave, unread)
        members, messages, group_messages = models.members, models.messages, models.group_messages
        groups = GroupModel(slave, self._caches.group_set, members)
        group_writer = GroupWriter(master, members, group_messages)
        unread_counts = UnreadModel(unread, members)
        summaries = Summaries(slave, models.relations, sound_label(self._config.aes_key))
        topics = (
            LoginHandlers(users, DeviceModel(self._caches.token, users, unread_counts), LoginAttempts()),
            BuddyHandlers(users, DepartModel(slave)),
            SessionHandlers(models.sessions, messages, group_messages, summaries),
            MessageHandlers(messages, group_messages, members, models.relations, models.audio, unread_counts, summaries),
            GroupHandlers(groups, group_writer, members),
            FileHandlers(FileModel(master, slave)),
        )
        return HandlerMap(handler for topic in topics for handler in topic.handlers())

    def _build_pool(self, handlers: HandlerMap, executor: BatchExecutor, stats: RequestStats) -> ThreadPool:
        config = self._config
        queues = RequestQueues(
            handlers.queue_settings,
            queue_limits(config),
            is_blocked=self._responses.is_blocked,
            under_pressure=self._responses.under_pressure,
        )
        return ThreadPool(
            config.thread_num,
            queues,
            executor,
            self._calls,
            stats,
            max_waiting=config.max_waiting_requests,
            max_waiting_bytes=config.max_waiting_bytes,
            wake_reactor=self._reactor.wake,
            is_drained=self._responses.is_drained,
        )

    def _put_again(self, tasks: Sequence[ProxyTask]) -> None:
        """Let the second round of these tasks wait for a worker. Worker threads."""
        if self._pool is not None:
            self._pool.put(tasks)
            self._pool.wake_worker()

    def _hold(self, tasks: Sequence[ProxyTask]) -> None:
        """Hold these tasks until their connections have taken their replies. Worker threads."""
        if self._pool is not None:
            self._pool.hold(tasks)

    def _run_actions(self) -> None:
        """Loop callback: what ``call_soon`` and ``request_stop`` have asked for."""
        while self._actions:
            self._actions.popleft()()
        if self._stop_requested and self._drain is None and self._pool is not None:
            pool = self._pool
            self._notifier.stopping()
            self._drain = Drain(
                self._reactor, self._started_server, self._config.stop_grace, lambda: pool.outstanding, lambda: self._responses.is_empty
            )

    def _release(self) -> None:
        """Stop the threads and close everything; whatever of it there is."""
        deadline = time.monotonic() + LAST_JOIN
        if self._drain is not None:
            deadline = min(deadline, self._drain.deadline)
        self._operations.stop()
        if self._sync_center is not None:
            self._sync_center.stop(max(0.0, deadline - time.monotonic()))
        if self._pool is not None:
            self._pool.stop(max(0.0, deadline - time.monotonic()))
        if self._server is not None:
            self._server.close()
        self._reactor.close()
        self._databases.close()
        self._caches.close()
        self._file_server.close()
        self._notifier.close()
