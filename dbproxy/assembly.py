"""Puts the parts of a proxy together: the part of the composition root between the connections to backends and the listening sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.components import Components, queue_limits, server_limits
from dbproxy.config import Config
from dbproxy.handler_setup import build_handlers, build_models
from dbproxy.models.recoveries import Recoveries
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.ops.snapshot import Observed
from dbproxy.stores.backend_facts import CHECK_INTERVAL, START_PATIENCE, BackendFacts
from dbproxy.stores.file_server import FileServer
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
from dbproxy.work.request_queues import RequestQueues
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool
from dbproxy.work.tracing import Tracing
from dbproxy.work.worker_calls import WorkerCalls


@dataclass(frozen=True, slots=True)
class Stores:
    """The connections to all backends, and what is told about the calls to them."""

    calls: WorkerCalls
    databases: DBManager
    caches: CacheManager
    file_server: FileServer
    backends: BackendFacts
    """What the servers are."""

    @classmethod
    def of(cls, config: Config, calls: WorkerCalls) -> Stores:
        """Return them as configured; nothing is connected yet."""
        file_server = FileServer(
            config.msfs_site,
            config.file_server_timeout,
            config.audio_threads,
            config.max_audio_length,
            calls.backend(FILE_SERVER, str),
        )
        databases = DBManager(config, calls.backend(MYSQL, statement_name))
        caches = CacheManager(config, calls.backend(REDIS, pipeline_name))
        return cls(calls, databases, caches, file_server, BackendFacts(databases, caches))

    def connect(self) -> ContentLimits:
        """Connect to every backend and check the tables. May be called again after it has failed.

        Raises:
            StartupError: what is wrong; BackendNotReadyError if waiting may help.

        """
        self.caches.open()
        self.databases.open()
        limits = check_schema(self.databases)
        self.caches.follow_masters()
        return limits

    def close(self) -> None:
        """Close all connections."""
        self.backends.stop()
        self.databases.close()
        self.caches.close()
        self.file_server.close()


def assemble(
    config: Config, limits: ContentLimits, reactor: Reactor, responses: ResponseDeque, stores: Stores, tracing: Tracing
) -> Components:
    """Return the parts of a proxy. No thread has been started and no socket opened."""
    databases, caches = stores.databases, stores.caches
    recoveries = Recoveries()
    models = build_models(config, databases, caches, stores.file_server, stores.calls.backend(FILE_SERVER, str), limits, recoveries)
    handlers = build_handlers(config, databases, caches, models)

    slow_requests = SlowRequests()
    slow_requests.configure(config.slow_request)
    stats = RequestStats((handler.command.name for handler in handlers), slow_requests)

    def put_again(tasks: Sequence[ProxyTask]) -> None:
        """Let the second round of these tasks wait for a worker. Worker threads."""
        pool.put(tasks)
        pool.wake_worker()

    def hold(tasks: Sequence[ProxyTask]) -> None:
        """Hold these tasks until their connections have taken their replies. Worker threads."""
        pool.hold(tasks)

    executor = BatchExecutor(responses, stores.calls, config.request_timeout, resubmit=put_again, hold=hold, tracing=tracing)
    pool = _pool(config, handlers, executor, reactor, responses, stores.calls, stats)
    dispatcher = Dispatcher(handlers, pool.put, stats.recorder())
    server = ProxyServer(
        reactor,
        server_limits(config),
        responses,
        pool,
        on_pdus=lambda connection, pdus: dispatcher.dispatch(connection.uuid, connection.peer, pdus),
    )
    reactor.add_loop_callback(pool.release_drained)
    reactor.add_loop_callback(pool.wake_worker)
    return Components(
        dispatcher=dispatcher,
        server=server,
        responses=responses,
        pool=pool,
        executor=executor,
        file_server=stores.file_server,
        audio=models.audio,
        messages=models.messages,
        group_messages=models.group_messages,
        sync_center=SyncCenter(databases.master, caches.unread, models.members, config.sync_interval),
        slow_requests=slow_requests,
        requests=stats,
        recoveries=recoveries,
        reads=databases.slave,
    )


def observe(parts: Components, reactor: Reactor, stores: Stores) -> Observed:
    """Return the parts that operators look at, and begin to find out what the servers are."""
    stores.backends.check()
    stores.backends.wait(START_PATIENCE)
    reactor.call_every(CHECK_INTERVAL, stores.backends.check)
    databases, caches = stores.databases, stores.caches
    return Observed(
        reactor=reactor,
        server=parts.server,
        pool=parts.pool,
        requests=parts.requests,
        slow=parts.slow_requests,
        responses=parts.responses,
        master=databases.master,
        slave=databases.slave,
        backends=stores.backends,
        pools=(*databases.pools.values(), *caches.pools.values()),
        file_server=parts.file_server,
        recoveries=parts.recoveries,
        sync_center=parts.sync_center,
    )


def _pool(
    config: Config,
    handlers: HandlerMap,
    executor: BatchExecutor,
    reactor: Reactor,
    responses: ResponseDeque,
    calls: WorkerCalls,
    stats: RequestStats,
) -> ThreadPool:
    queues = RequestQueues(
        handlers.queue_settings, queue_limits(config), is_blocked=responses.is_blocked, under_pressure=responses.under_pressure
    )
    return ThreadPool(
        config.thread_num,
        queues,
        executor,
        calls,
        stats,
        max_waiting=config.max_waiting_requests,
        max_waiting_bytes=config.max_waiting_bytes,
        wake_reactor=reactor.wake,
        is_drained=responses.is_drained,
    )
