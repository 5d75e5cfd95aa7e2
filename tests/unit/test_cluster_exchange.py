"""What a pool on a Redis Cluster sends, and sends again, when nodes answer what real ones do only at moments that no test can choose."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest
import redis
from fake_backends import FakeRedis
from redis.crc import key_slot

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import StartupError, StoreUnavailableError
from dbproxy.stores.redis import CachePool
from dbproxy.stores.redis.cluster import WELL_IN_TIME
from dbproxy.stores.redis.cluster_node import Notices
from dbproxy.stores.redis.cluster_slots import SLOTS, Topology
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.resolver import Resolver
from dbproxy.testing.waiting import eventually

CONFIG = cast(Config, SimpleNamespace(cache_timeout=0.4, cache_connect_timeout=0.4, cache_pool_timeout=1.0))
KEY = "unread_1"
SLOT = key_slot(KEY.encode())

Reply = bytes | None


class FakeCluster:
    """Two nodes; the first has all slots. ``answers`` are, by node and command, what it replies to this command one time after the other;
    afterwards, and to others, ``+OK``.
    """

    def __init__(self) -> None:
        self.nodes = [FakeRedis(self._reply_of(number)) for number in (0, 1)]
        self.answers: dict[tuple[int, str], list[Reply]] = {}
        self.delays: dict[int, float] = {}
        """By node: for how long it keeps back the replies to GET."""
        self.owner = 0
        self.epoch = 1

    def _reply_of(self, number: int) -> Callable[[list[bytes]], Reply]:
        def reply(command: list[bytes]) -> Reply:
            name = command[0].decode()
            planned = self.answers.get((number, name))
            if planned:
                return planned.pop(0)
            if name == "GET":
                time.sleep(self.delays.get(number, 0))
            if name == "INFO":
                return b"$8\r\nrun_id:%d\r\n" % number
            if name != "CLUSTER":
                return b"+OK\r\n"
            if command[1] == b"INFO":
                text = b"cluster_state:ok\r\ncluster_current_epoch:%d\r\n" % self.epoch
                return b"$%d\r\n%b\r\n" % (len(text), text)
            return b"*1\r\n*3\r\n:0\r\n:%d\r\n*2\r\n$0\r\n\r\n:%d\r\n" % (SLOTS - 1, self.nodes[self.owner].port)

        return reply

    def sent(self, number: int, *names: str) -> list[str]:
        """The commands that a node was sent, those only that are named here."""
        return [command[0].decode() for command in self.nodes[number].commands if command[0].decode() in names]


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    fake = FakeCluster()
    with contextlib.ExitStack() as exits:
        for node in fake.nodes:
            exits.enter_context(node.running())
        yield fake


@pytest.fixture
def pool(cluster: FakeCluster) -> Iterator[CachePool]:
    instance = CacheInstance(
        name="unread", host="127.0.0.1", port=cluster.nodes[0].port, db=0, username="", password="", maxconncnt=2, tls=None, cluster=True
    )
    opened = CachePool(instance, CONFIG, Resolver())
    opened.open()
    yield opened
    opened.close()


def error(text: str, *arguments: object) -> bytes:
    return f"-{text % arguments}\r\n".encode()


def test_moved_is_followed_and_the_node_remembered(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "INCRBY"] = [error("MOVED %d 127.0.0.1:%d", SLOT, cluster.nodes[1].port)]
    cluster.owner = 1
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]
    assert (len(cluster.sent(0, "INCRBY")), len(cluster.sent(1, "INCRBY"))) == (1, 2)


def test_a_node_that_served_nothing_before_counts_as_a_restart_before_it_is_asked(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "HGET"] = [error("MOVED %d :%d", SLOT, cluster.nodes[1].port)]
    cluster.owner = 1
    assert pool.restarts == 0
    pool.execute([("HGET", KEY, "count")])
    assert pool.restarts == 1


def test_an_epoch_that_rose_counts_as_a_restart_though_the_master_is_the_same(cluster: FakeCluster, pool: CachePool) -> None:
    """A replica took its place, and it came back, while nobody looked."""
    cluster.epoch = 3
    cluster.answers[0, "HGET"] = [error("MOVED %d :%d", SLOT, cluster.nodes[0].port)]
    pool.execute([("HGET", KEY, "count")])

    def restarts() -> int:
        pool.check()  # the time for another look at the nodes comes
        return pool.restarts

    assert eventually(restarts, 1) == 1


def test_ask_is_followed_once_with_asking_in_front(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "INCRBY"] = [error("ASK %d 127.0.0.1:%d", SLOT, cluster.nodes[1].port)]
    assert pool.execute([("INCRBY", KEY, 1), ("GET", KEY)]) == [b"OK", b"OK"]
    assert cluster.sent(1, "ASKING", "INCRBY", "GET") == ["ASKING", "INCRBY"]
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]
    assert len(cluster.sent(0, "INCRBY")) == 2


def test_a_transaction_that_was_sent_elsewhere_is_repeated_as_a_whole(cluster: FakeCluster, pool: CachePool) -> None:
    ask = error("ASK %d 127.0.0.1:%d", SLOT, cluster.nodes[1].port)
    cluster.answers[0, "HSET"] = [ask]
    cluster.answers[0, "EXEC"] = [error("EXECABORT Transaction discarded because of previous errors.")]
    assert pool.execute([("MULTI",), ("DEL", KEY), ("HSET", KEY, "1", "2"), ("EXEC",)]) == [b"OK"] * 4
    assert cluster.sent(1, "ASKING", "MULTI", "DEL", "HSET", "EXEC") == ["ASKING", "MULTI", "DEL", "HSET", "EXEC"]


@pytest.mark.parametrize("reply", ["TRYAGAIN Multiple keys request during rehashing of slot", "CLUSTERDOWN Hash slot not served"])
def test_what_a_node_cannot_execute_now_is_sent_again(cluster: FakeCluster, pool: CachePool, reply: str) -> None:
    cluster.answers[0, "INCRBY"] = [error(reply)] * 2
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]
    assert len(cluster.sent(0, "INCRBY")) == 3


def test_a_cluster_that_is_down_is_waited_for_no_longer_than_the_time_limit_of_a_command(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "INCRBY"] = [error("CLUSTERDOWN The cluster is down")] * 1000
    with pytest.raises(StoreUnavailableError, match="The cluster is down"):
        pool.execute([("INCRBY", KEY, 1)])
    attempts = len(cluster.sent(0, "INCRBY"))
    assert 2 < attempts < 40
    with pytest.raises(StoreUnavailableError):  # it has been down for long enough: nobody waits any more
        pool.execute([("INCRBY", KEY, 1)])
    assert len(cluster.sent(0, "INCRBY")) == attempts + 1
    cluster.answers.clear()
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]


def test_what_may_have_been_executed_is_not_sent_again(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "INCRBY"] = [None]
    with pytest.raises(StoreUnavailableError, match=r"(?i)closed (the connection|by server)"):
        pool.execute([("GET", KEY), ("INCRBY", KEY, 1)])
    assert len(cluster.sent(0, "INCRBY")) == 1
    assert pool.execute([("INCRBY", KEY, 1)]) == [b"OK"]


def test_nodes_that_send_each_other_everything_are_left_after_a_while(cluster: FakeCluster, pool: CachePool) -> None:
    for number in (0, 1):
        cluster.answers[number, "GET"] = [error("MOVED %d 127.0.0.1:%d", SLOT, cluster.nodes[1 - number].port)] * 5000
    with pytest.raises(StoreUnavailableError):
        pool.execute([("GET", KEY)])
    assert len(cluster.sent(0, "GET")) < 200


def test_a_refusal_that_has_nothing_to_do_with_nodes_is_one(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[0, "HGET"] = [error("WRONGTYPE Operation against a key")]
    assert pool.read([("HGET", KEY, "1"), ("GET", KEY)]) == [None, b"OK"]


def test_an_account_that_may_not_ask_for_the_nodes_is_an_error_at_once(cluster: FakeCluster) -> None:
    cluster.answers[0, "CLUSTER"] = [error("NOPERM this user has no permissions to run the 'cluster|slots' command")] * 9
    instance = CacheInstance(
        name="unread", host="127.0.0.1", port=cluster.nodes[0].port, db=0, username="", password="", maxconncnt=2, tls=None, cluster=True
    )
    refused = CachePool(instance, CONFIG, Resolver())
    with pytest.raises(StartupError, match=r"no permissions.*unread_cluster") as caught:
        refused.open()
    refused.close()
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    assert isinstance(caught.value.__cause__.__cause__, redis.ResponseError)


def test_connections_that_are_given_up_are_forgotten_and_what_they_counted_is_kept(cluster: FakeCluster, pool: CachePool) -> None:
    """As with each look at a replica, whose connections are closed after it."""
    pool.execute([("GET", KEY)])
    calls = pool.report().calls
    node = pool._state.cluster.map.node(("127.0.0.1", cluster.nodes[0].port))  # type: ignore[union-attr]
    for number in range(1, 4):
        pool.close()
        assert len(node._made) == 0
        pool.execute([("GET", KEY)])
        assert pool.report().calls == calls + 2 * number  # with the question who serves there
        assert (len(node._made), pool.report().idle, pool.report().in_use) == (1, 1, 0)


def test_a_reload_may_take_a_pool_while_its_topology_is_being_changed(cluster: FakeCluster, pool: CachePool) -> None:
    other = another(cluster)
    assert pool._state.cluster is not None
    assert other._state.cluster is not None
    pool._state.cluster.map.topology = other._state.cluster.map.topology = Topology([("127.0.0.1", 9)] * SLOTS)  # nobody was there yet
    with pool._state.cluster.map._lock:
        adopting = threading.Thread(target=pool.adopt, args=(other,), daemon=True)
        adopting.start()
        adopting.join(5)
        assert not adopting.is_alive()
    other.close()


def test_nothing_is_logged_under_the_locks_of_the_topology(cluster: FakeCluster, pool: CachePool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool._state.cluster is not None
    known = pool._state.cluster.map
    free: list[bool] = []

    def tell(_: str) -> None:
        node = known.node(("127.0.0.1", cluster.nodes[0].port))
        free.append(not known._lock.locked() and not node._lock.locked() and not pool._run_id_lock.locked())

    monkeypatch.setattr(pool, "_notices", Notices(lambda: None, pool.distrust, tell))
    cluster.answers[0, "HGET"] = [error("MOVED %d :%d", SLOT, cluster.nodes[1].port)]
    cluster.answers[0, "INFO"] = [b"$12\r\nrun_id:other\r\n"]
    pool.close()  # so that it has to connect again
    cluster.owner = 1
    pool.execute([("HGET", KEY, "count")])
    assert free == [True, True]
    assert pool.restarts == 2


def test_a_node_that_swallows_packets_holds_up_one_thread_and_no_other(pool: CachePool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool._state.cluster is not None
    known = pool._state.cluster.map
    with full_backlog() as silent:
        known.topology = Topology([silent] * SLOTS)
        known._down[silent] = time.monotonic() - 100
        known.node(silent).failures = 3
        monkeypatch.setattr(known, "look_soon", lambda: None)
        monkeypatch.setattr(known, "look_if_due", lambda *_: None)
        refusals: list[str] = []

        def ask() -> None:
            with pytest.raises(StoreUnavailableError) as caught:
                pool.execute([("GET", KEY)])
            refusals.append(str(caught.value))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [("just now" in text) for text in refusals].count(False) == 1


def test_the_node_that_the_configuration_names_is_still_known_when_the_cluster_has_forgotten_it(
    cluster: FakeCluster, pool: CachePool
) -> None:
    cluster.owner = 1
    assert pool._state.cluster is not None
    pool._state.cluster.map.look(pool._notices)
    assert pool.addresses == (("127.0.0.1", cluster.nodes[1].port),)
    assert pool.known_nodes == {("127.0.0.1", node.port) for node in cluster.nodes}


def test_what_one_node_does_not_answer_to_a_question_of_operators_is_no_failure_of_the_pool(cluster: FakeCluster, pool: CachePool) -> None:
    cluster.answers[1, "INFO"] = [None] * 3
    with pytest.raises(StoreUnavailableError):
        pool.ask_at(("127.0.0.1", cluster.nodes[1].port), [("INFO", "server")])
    assert pool.report().works
    assert sum(pool.report().failures.values()) == 0


def test_while_one_node_is_waited_for_the_time_of_the_others_passes_too(
    cluster: FakeCluster, pool: CachePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pool._state.cluster is not None
    first, second = (("127.0.0.1", node.port) for node in cluster.nodes)
    owners: list[tuple[str, int] | None] = [first] * SLOTS
    owners[key_slot(b"unread_2")] = second
    pool._state.cluster.map.topology = Topology(owners, epoch=1)
    pool.execute([("GET", KEY), ("GET", "unread_2")])
    waits: list[float] = []
    has_replies = DriverConnection.has_replies

    def noted(connection: DriverConnection, within: float) -> bool:
        waits.append(within)
        return has_replies(connection, within)

    monkeypatch.setattr(DriverConnection, "has_replies", noted)
    cluster.delays[1] = WELL_IN_TIME + 0.05
    pool.execute([("GET", KEY), ("GET", "unread_2")])
    (left,) = waits
    assert left < CONFIG.cache_timeout - WELL_IN_TIME


def another(cluster: FakeCluster) -> CachePool:
    opened = CachePool(
        CacheInstance(
            name="unread",
            host="127.0.0.1",
            port=cluster.nodes[0].port,
            db=0,
            username="",
            password="",
            maxconncnt=2,
            tls=None,
            cluster=True,
        ),
        CONFIG,
        Resolver(),
    )
    opened._state.cluster.map.topology = Topology([("127.0.0.1", cluster.nodes[0].port)] * SLOTS, epoch=1)  # type: ignore[union-attr]
    return opened


@contextlib.contextmanager
def full_backlog() -> Iterator[tuple[str, int]]:
    """An address whose host swallows all attempts to connect."""
    with contextlib.ExitStack() as exits:
        listener = exits.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = exits.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()
