"""Nodes of a Galera cluster crash, freeze and lose the others while proxies write to two of them: what was acknowledged is there, once."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

import pytest

from dbproxy.testing import Client, GaleraStack, ProxyProcess, seed
from dbproxy.testing.galera_node import missing_for_galera
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import poll
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2

pytestmark = [pytest.mark.watchdog(300), pytest.mark.long]

TABLES = [(f"IM{kind}Message_{shard}", column) for kind, column in (("", "relateId"), ("Group", "groupId")) for shard in range(8)]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[GaleraStack]:
    reason = missing_for_galera()
    if reason:
        pytest.skip(reason)
    with GaleraStack(nodes=3) as stack:
        yield stack


@pytest.fixture
def stack(three_nodes: GaleraStack) -> GaleraStack:
    three_nodes.reset()
    seed.group(three_nodes, 9, [1, 2, 3, 4])
    return three_nodes


class Load:
    """Clients that send messages with a text of their own each, until they are stopped; those of even number to the first proxy."""

    def __init__(self, proxies: list[ProxyProcess], clients: int = 4) -> None:
        self.acknowledged: dict[str, int] = {}
        """Text → msg_id; 0: refused."""
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._run, args=(number, proxies[number % 2])) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, proxy: ProxyProcess) -> None:
        try:
            with proxy.client(timeout=60) as client:
                while not self._stop.is_set():
                    self._send(client, number)
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            self.failures.append(error)

    def _send(self, client: Client, number: int) -> None:
        texts = [f"text {next(self._numbers)}" for _ in range(6)]
        requests = [message(1 + number % 4, 11 + n, text) for n, text in enumerate(texts[:3])]
        requests += [message(1 + number % 4, 9, text, msg_type=base.MSG_TYPE_GROUP_TEXT) for text in texts[3:]]
        for text, reply in zip(texts, client.requests(requests, timeout=60), strict=True):
            assert isinstance(reply, message_pb2.IMMsgData)
            self.acknowledged[text] = reply.msg_id

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(100)
        if self.failures:
            raise self.failures[0]


def send_one(proxy: ProxyProcess) -> int:
    with proxy.client(timeout=30) as client:
        return client.send_message(5, 6).msg_id


def stored(stack: GaleraStack, node: int) -> dict[str, list[tuple[str, int, int]]]:
    """Text → (table, conversation, msg_id) of each row that has it."""
    stack.wait_until_equal()
    found: dict[str, list[tuple[str, int, int]]] = {}
    with closing(stack.nodes[node].connect()) as connection, connection.cursor() as cursor:
        for table, column in TABLES:
            cursor.execute(f"select {column} as conversation,msgId,content from {table}")
            for row in cursor.fetchall():
                found.setdefault(row["content"], []).append((table, row["conversation"], row["msgId"]))
    return found


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda stack: stack.kill(0), id="killed"),
        pytest.param(lambda stack: stack.isolate(0), id="isolated"),
        pytest.param(lambda stack: stack.nodes[0].freeze(), id="frozen"),
    ],
)
def test_what_is_acknowledged_while_a_node_is_lost_is_stored_once(fault: Callable[[GaleraStack], None], stack: GaleraStack) -> None:
    keys = {"DBTimeout": 4, "DBLockTimeout": 2, "DBConnectTimeout": 3}
    with ExitStack() as exits:
        proxies = [
            exits.enter_context(ProxyProcess(stack, {"teamtalk_master_host": stack.hosts(*order), **keys}))
            for order in ((0, 1, 2), (1, 2, 0))
        ]
        load = Load(proxies)
        time.sleep(1.5)
        fault(stack)
        time.sleep(8)
        load.stop()
        stack.repair()
        rows, *others = [stored(stack, node) for node in range(3)]
        logs = "\n".join(proxy.log(last=15) for proxy in proxies)
        for proxy in proxies:
            assert poll(partial(send_one, proxy), bool, 10), logs
    assert others == [rows, rows]
    missing = {text for text, msg_id in load.acknowledged.items() if msg_id and [row[2] for row in rows.get(text, [])] != [msg_id]}
    assert not missing, f"{len(missing)} of {len(load.acknowledged)}\n{logs}"
    ids = Counter(row for places in rows.values() for row in places)
    assert [row for row, count in ids.items() if count > 1] == []
    assert [text for text, places in rows.items() if len(places) > 1] == []
