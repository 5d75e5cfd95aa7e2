"""More requests than the backends can serve: queues and memory are bounded, the log says what is going on, and it ends with the load."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from dbproxy.bench.usage import memory_bytes
from dbproxy.net.proxy_conn import READ_SIZE
from dbproxy.testing import Client, ProxyProcess, Stack
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import buddy_pb2, message_pb2

KEYS = {"ThreadNum": 4, "DBTimeout": 8, "DBLockTimeout": 4, "RequestTimeout": 30, "PeerTimeout": 60}

WAITING = re.compile(r"(\d+) requests wait for a worker, the oldest for ([0-9.]+) s")

MEMORY = 64 << 20
"""Bytes by which the proxy may grow under an overload: what its queues may hold is far less."""

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=["alice", "bob"])]


class Flood:
    """Writers that send everything that they have without waiting for answers, each in a thread; the replies are read by others."""

    def __init__(self, clients: Sequence[Client], messages: int, length: int, *, lookups: bool = False) -> None:
        """Writer n (from 1) sends ``messages`` texts of ``length`` characters to n + 1; with ``lookups`` every third is a lookup."""
        self.messages = messages
        self._lookups = lookups
        self.answers: list[list[tuple[int, int]]] = [[] for _ in clients]
        self._clients = clients
        self._text = "x" * length
        targets = [(self._send, self._receive)] * len(clients)
        self._threads = [
            threading.Thread(target=target, args=(number,), daemon=True) for number, both in enumerate(targets) for target in both
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until everything is sent and answered; a reply that does not come ends a reader, which the counts will show."""
        for thread in self._threads:
            thread.join(60)

    def _send(self, number: int) -> None:
        for count in range(1, self.messages + 1):
            if self._lookups and count % 3 == 0:
                self._clients[number].send(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1, 2]), seq_num=count)
            else:
                self._clients[number].send(message(number + 1, number + 2, self._text), seq_num=count)

    def _receive(self, number: int) -> None:
        for _ in range(self.messages):
            pdu = self._clients[number].receive(30)
            answer = pdu.message
            self.answers[number].append((pdu.seq_num, answer.msg_id if isinstance(answer, message_pb2.IMMsgData) else 0))


def waits(log: str) -> list[tuple[int, float]]:
    """Every number of waiting requests in the log, with the age of the oldest."""
    return [(int(count), float(age)) for count, age in WAITING.findall(log)]


def stored(stack: Stack) -> int:
    tables = " union all ".join(f"select count(*) as n from IMMessage_{shard}" for shard in range(8))
    return sum(int(str(row["n"])) for row in stack.rows(tables))


def test_a_frozen_database_fills_the_queue_and_no_more(stack: Stack) -> None:
    """MaxWaitingRequests. A connection is read once more at most after it is reached: so much can be above it."""
    limit, length = 200, 500
    with ProxyProcess(stack, {**KEYS, "MaxWaitingRequests": limit}) as proxy, ExitStack() as exits:
        clients = [exits.enter_context(proxy.client(timeout=40)) for _ in range(5)]
        flood = Flood(clients, 1000, length, lookups=True)
        memory = memory_bytes([proxy.pid])
        stack.mariadb.freeze()
        flood.start()
        assert eventually(lambda: "reading paused" in proxy.log(), True, 20)
        assert eventually(lambda: any(age > 1 for _, age in waits(proxy.log())), True, 20)
        assert memory_bytes([proxy.pid]) - memory < MEMORY
        stack.mariadb.thaw()
        flood.join()
        assert clients[0].login("alice").result_code == 0
        assert eventually(lambda: "no request waits for longer than 1 s any more" in proxy.log(), True, 20)
    log = proxy.log()
    for answers in flood.answers:
        assert sorted(number for number, _ in answers) == list(range(1, flood.messages + 1))
    assert stored(stack) == sum(msg_id > 0 for answers in flood.answers for _, msg_id in answers)
    assert max(count for count, _ in waits(log)) < limit + 2 * READ_SIZE // length  # lookups are shorter
    assert "reading resumed after" in log
    assert "Traceback" not in log


def test_a_slow_network_to_the_database_fills_the_queue_and_no_more(stack: Stack) -> None:
    """MaxWaitingBytes, with messages as long as the column takes."""
    with FaultyLink(stack.mariadb.address) as link, ExitStack() as exits:
        keys = {**KEYS, "teamtalk_master_port": link.port, "teamtalk_slave_port": link.port, "MaxWaitingBytes": 100_000, "MaxBatchSize": 16}
        proxy = exits.enter_context(ProxyProcess(stack, keys))
        clients = [exits.enter_context(proxy.client(timeout=40)) for _ in range(5)]
        flood = Flood(clients, 100, 4000)
        memory = memory_bytes([proxy.pid])
        link.delay = 0.02
        flood.start()
        assert eventually(lambda: "reading paused" in proxy.log(), True, 20)
        flood.join()
        assert memory_bytes([proxy.pid]) - memory < MEMORY
        link.delay = 0
        assert clients[0].send_message(1, 2).msg_id
    log = proxy.log()
    for answers in flood.answers:
        assert Counter(number for number, _ in answers) == Counter(range(1, flood.messages + 1))
        assert all(msg_id for _, msg_id in answers)
    assert stored(stack) == 1 + sum(len(answers) for answers in flood.answers)
    assert max(count for count, _ in waits(log)) * 4000 < 100_000 + 2 * READ_SIZE
    assert "reading resumed after" in log


def test_requests_that_waited_too_long_are_refused_and_never_executed(stack: Stack) -> None:
    keys = {**KEYS, "MaxWaitingRequests": 50, "RequestTimeout": 1, "ThreadNum": 2}
    with ProxyProcess(stack, keys) as proxy, ExitStack() as exits:
        clients = [exits.enter_context(proxy.client(timeout=40)) for _ in range(3)]
        flood = Flood(clients, 300, 100)
        stack.mariadb.freeze()
        flood.start()
        assert eventually(lambda: any(age > 1 for _, age in waits(proxy.log())), True, 20)
        stack.mariadb.thaw()
        flood.join()
        assert eventually(lambda: "waited longer than 1 s (RequestTimeout)" in proxy.log(), True, 20)
        assert clients[0].send_message(1, 2).msg_id
    answers = [msg_id for writer in flood.answers for _, msg_id in writer]
    assert len(answers) == 3 * 300
    assert 0 < answers.count(0) < len(answers)
    assert stored(stack) == 1 + sum(msg_id > 0 for msg_id in answers)
