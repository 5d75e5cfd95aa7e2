"""A proxy that hands over, or takes, what is alive in it: which replies go where, and for what the other process has to wait."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dbproxy.handover.channel import Channel
from dbproxy.handover.retirement import Retirement
from dbproxy.handover.service import LiveService
from dbproxy.net.conn_state import ConnLimits, ServerLimits
from dbproxy.net.listener import listening_sockets
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.testing.waiting import poll
from dbproxy.wire.commands import MSG_DATA
from dbproxy.wire.pdu import pack_pdu
from dbproxy.work.batch import Batch
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import Handler, HandlerMap
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.queue_settings import QueueLimits
from dbproxy.work.request_queues import RequestQueues
from dbproxy.work.request_stats import RequestRecorder, RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool
from dbproxy.work.worker_calls import WorkerCalls

LIMITS = ServerLimits(100, 1 << 20, 1 << 20, (), ConnLimits(2_000_000, 200_000, 10, 5, 30))
REPLY = pack_pdu(3, 0x0302, 7, b"reply")


class Parts:
    """The parts of a proxy that change hands, turned by hand, with one peer and one worker that waits for ``go_on`` in each batch."""

    def __init__(self) -> None:
        self.former_is_at_work = False
        self.go_on = threading.Event()
        self.reactor = Reactor()
        self.responses = ResponseDeque(self.reactor.wake)
        self.queues = RequestQueues({}, QueueLimits(max_batch=1, max_active=1))
        stats = RequestStats([], SlowRequests())
        self.pool = ThreadPool(
            1,
            self.queues,
            self._work,
            WorkerCalls(self.responses),
            stats,
            max_waiting=1000,
            max_waiting_bytes=1 << 20,
            wake_reactor=self.reactor.wake,
            is_drained=self.responses.is_drained,
        )
        self.server = ProxyServer(self.reactor, LIMITS, self.responses, self.pool, on_pdus=lambda *_: None)
        dispatcher = Dispatcher(HandlerMap([]), self.pool.put, RequestRecorder(SlowRequests()))
        self.service = LiveService(self.server, self.pool, self.responses, dispatcher, former_is_at_work=lambda: self.former_is_at_work)
        self.server.listen(listening_sockets(["127.0.0.1"], 0, {}))
        self.pool.start()
        self.peer = socket.create_connection(self.server.addresses[0], timeout=5)
        self.turns()

    def _work(self, batch: Batch) -> None:
        self.go_on.wait(10)
        self.responses.post([(task.conn_uuid, REPLY) for task in batch.tasks], len(REPLY))

    def message(self, key: str) -> ProxyTask:
        task = ProxyTask(Handler.batch(MSG_DATA, lambda requests: [None] * len(requests)), 1, "peer", 0, b"", time.monotonic())
        task.queue, task.ordering_key = "messages", key
        return task

    def submit(self, *tasks: ProxyTask) -> None:
        self.pool.put(tasks)
        self.pool.wake_worker()

    def turns(self) -> None:
        for _ in range(3):
            self.reactor.wake()
            self.reactor.turn()

    def close(self) -> None:
        self.go_on.set()
        self.pool.stop(5)
        self.peer.close()
        self.server.close()
        self.reactor.close()


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts()
    yield made
    made.close()


def test_replies_that_have_been_made_are_sent_before_another_process_gets_the_socket(parts: Parts) -> None:
    """The other process may answer the next message of that conversation at once: its key is not among those at work."""
    parts.go_on.set()
    parts.submit(parts.message("key"))
    assert poll(lambda: parts.responses.is_empty, lambda empty: not empty, 10) is False
    assert poll(lambda: parts.pool.outstanding, lambda count: not count, 10) == 0
    suspended = parts.service.suspend()
    assert suspended.state.keys_at_work == []
    assert parts.peer.recv(100) == REPLY
    assert parts.service.collect() == ((), [], True)
    parts.service.resume(suspended)


def test_what_is_made_after_that_belongs_to_a_key_at_work(parts: Parts) -> None:
    parts.submit(parts.message("key"), parts.message("key"))
    assert poll(lambda: parts.pool.batches_at_work, bool, 10) == 1
    suspended = parts.service.suspend()
    assert (suspended.state.keys_at_work, len(suspended.state.requests)) == (["key"], 1)
    parts.go_on.set()
    assert poll(lambda: parts.pool.batches_at_work, lambda count: not count, 10) == 0
    assert parts.service.collect() == ([(1, REPLY)], [], True)
    parts.service.resume(suspended)


def test_a_process_through_which_replies_pass_is_not_done_and_blocks_their_conversations_further(parts: Parts) -> None:
    parts.pool.block(["key"])
    parts.former_is_at_work = True
    suspended = parts.service.suspend()
    assert suspended.state.keys_at_work == ["key"]
    parts.service.abandon()
    assert parts.service.collect() == ((), ["key"], False)
    parts.service.pass_on([(1, REPLY)], len(REPLY))
    parts.service.unblock(["key"])
    parts.former_is_at_work = False
    assert parts.service.collect() == ([(1, REPLY)], [], True)


def retire(parts: Parts, channel: Channel, process: subprocess.Popen[bytes], events: list[str], longest: float = 60) -> None:
    parts.service.suspend()
    Retirement(
        parts.reactor,
        parts.service,
        channel,
        process,
        longest,
        on_settled=lambda: events.append("settled"),
        on_done=lambda: events.append("done"),
        on_lost=lambda: events.append("lost"),
    )


def a_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_new_process_that_takes_no_replies_is_killed_before_the_old_one_serves_again(parts: Parts) -> None:
    """It may only hang, and go on later: then two processes would serve."""
    channel, theirs = Channel.pair(0.1)
    events: list[str] = []
    with theirs, a_process() as process:
        callbacks = len(parts.reactor._loop_callbacks)
        retire(parts, channel, process, events)
        parts.service.pass_on([(1, bytes(1 << 24))], 1 << 24)
        parts.turns()
        assert events == ["lost"]
        assert process.returncode == -9
        assert len(parts.reactor._loop_callbacks) == callbacks
    with socket.create_connection(parts.server.addresses[0], timeout=5):
        parts.turns()
        assert len(parts.server) == 1


def test_a_new_process_that_was_stopped_before_the_old_one_looked_has_not_died(parts: Parts) -> None:
    channel, sock = Channel.pair(5)
    theirs = Channel(sock, 5)
    events: list[str] = []
    with a_process() as process:
        retire(parts, channel, process, events)
        theirs.send("stopping")
        theirs.close()
        parts.turns()
        assert events == ["done"]
        process.kill()


def test_a_retired_process_settles_however_short_its_time_limits_are(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager is told then which process to watch; without that it would end both."""
    monkeypatch.setattr("dbproxy.handover.retirement.LINGER", 0.1)
    channel, theirs = Channel.pair(5)
    events: list[str] = []
    with theirs, a_process() as process:
        retire(parts, channel, process, events, longest=0)
        while "done" not in events:
            parts.reactor.turn()
        process.kill()
    assert events == ["settled", "done"]


def test_a_retired_process_looks_again_until_everything_is_answered(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.handover.retirement.LINGER", 0.0)
    channel, sock = Channel.pair(5)
    theirs = Channel(sock, 5)
    events: list[str] = []
    parts.submit(parts.message("key"))
    assert poll(lambda: parts.pool.batches_at_work, bool, 10) == 1
    with a_process() as process:
        retire(parts, channel, process, events)
        parts.turns()
        frame = theirs.receive("work")
        assert (frame.fields["keys_at_work"], frame.fields["done"], frame.fields["replies"]) == (["key"], False, [])
        parts.go_on.set()
        while "done" not in events:
            parts.reactor.turn()
        frames = [theirs.receive("work")]
        while (frame := theirs.receive("work", "bye")).kind == "work":
            frames.append(frame)
        assert b"".join(bytes(frame.payload) for frame in frames) == REPLY
        assert frames[-1].fields["done"] is True
        process.kill()
    assert events == ["settled", "done"]
    theirs.close()
