"""What a pool on a Redis Cluster sends, and sends again, when nodes answer what real ones do only at moments that no test can choose."""

from __future__ import annotations

import contextlib
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
from dbproxy.stores.redis.cluster_slots import SLOTS
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
        self.owner = 0
        self.epoch = 1

    def _reply_of(self, number: int) -> Callable[[list[bytes]], Reply]:
        def reply(command: list[bytes]) -> Reply:
            name = command[0].decode()
            planned = self.answers.get((number, name))
            if planned:
                return planned.pop(0)
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
    with pytest.raises(StoreUnavailableError, match="closed the connection"):
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
