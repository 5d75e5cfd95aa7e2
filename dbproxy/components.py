"""Components: the parts of a running proxy that have settings, and how these follow from a ``Config``.

The start and a reload use the same functions, so that a reloaded proxy is as one that was started with that configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy import descriptors
from dbproxy.config import Config
from dbproxy.models.audio import AudioModel
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.message import MessageModel
from dbproxy.models.recoveries import Recoveries
from dbproxy.net.conn_state import ConnLimits, ServerLimits
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.mysql import ReadPool
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.sync_center import SyncCenter
from dbproxy.work.batch_executor import BatchExecutor
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.queue_settings import QueueLimits
from dbproxy.work.request_stats import RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool


def server_limits(config: Config) -> ServerLimits:
    """Who may connect, and what connections may cost."""
    return ServerLimits(
        max_connections=descriptors.max_connections(config),
        max_pending=max(4 * config.max_waiting_bytes, 4 * config.max_pdu_length),
        max_backlog=config.max_send_buffer_total,
        allowed_peers=config.allowed_peers,
        connection=ConnLimits(
            max_pdu_length=config.max_pdu_length,
            max_send_buffer=config.max_send_buffer,
            send_timeout=config.send_timeout,
            heartbeat_interval=config.heartbeat_interval,
            peer_timeout=config.peer_timeout,
        ),
    )


def queue_limits(config: Config) -> QueueLimits:
    """How requests are cut into batches."""
    # A file server that hangs must not take all threads with it.
    audio_threads = max(1, min(config.audio_threads, config.thread_num - config.max_active_batches))
    return QueueLimits(config.max_batch_size, config.max_active_batches, audio_threads)


@dataclass(frozen=True, slots=True)
class Components:
    """The parts that the start makes, and whose settings a reload changes. The pools of connections are changed by ``PoolMoves``."""

    dispatcher: Dispatcher
    server: ProxyServer
    responses: ResponseDeque
    pool: ThreadPool
    executor: BatchExecutor
    file_server: FileServer
    audio: AudioModel
    messages: MessageModel
    group_messages: GroupMessageModel
    sync_center: SyncCenter
    slow_requests: SlowRequests
    requests: RequestStats
    recoveries: Recoveries
    reads: ReadPool

    def configure(self, config: Config, content: ContentLimits) -> None:
        """Apply ``config``; ``content``: what the columns of the master take. It neither waits nor fails. Reactor thread."""
        self.server.configure(server_limits(config))
        self.responses.configure(config.max_send_buffer, config.max_send_buffer_total)
        self.pool.configure(queue_limits(config), max_waiting=config.max_waiting_requests, max_waiting_bytes=config.max_waiting_bytes)
        self.executor.configure(config.request_timeout)
        self.file_server.configure(config.msfs_site, config.file_server_timeout, config.audio_threads, config.max_audio_length)
        self.audio.configure(config.file_server_timeout)
        self.messages.configure(content.message, config.request_timeout)
        self.group_messages.configure(content.group_message, config.request_timeout)
        self.sync_center.configure(config.sync_interval)
        self.slow_requests.configure(config.slow_request)
        self.reads.configure(config.max_replica_lag)
