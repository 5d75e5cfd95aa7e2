"""What the start says of servers that are not alone; on real replicas and clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from dbproxy.config import load_config
from dbproxy.stores.backend_facts import BackendFacts
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.redis import CacheManager
from dbproxy.stores.server_facts import ServerFacts
from dbproxy.testing import GaleraStack, ProxyProcess, ReplicaStack, SentinelStack, Stack, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(180)


@contextmanager
def stores(stack: Stack, overrides: Mapping[str, object] | None = None) -> Iterator[BackendFacts]:
    config = load_config(stack.write_config(overrides=overrides))
    databases, caches = DBManager(config), CacheManager(config)
    try:
        caches.open()
        databases.open()
        facts = BackendFacts(databases, caches)
        facts.check()
        facts.wait(20)
        yield facts
        facts.stop()
    finally:
        databases.close()
        caches.close()


def all_of_pool(facts: BackendFacts, pool: str) -> list[ServerFacts]:
    return [known for known in facts.known if pool in known.pools]


def of_pool(facts: BackendFacts, pool: str) -> ServerFacts:
    (found,) = all_of_pool(facts, pool)
    return found


def names(facts: ServerFacts) -> set[str]:
    return {limitation.name for limitation in facts.limitations}


def test_a_primary_and_its_replica_are_told_apart(dbproxy_replicas: ReplicaStack) -> None:
    dbproxy_replicas.reset()
    with stores(dbproxy_replicas) as facts:
        primary, replicas = of_pool(facts, "teamtalk_master"), all_of_pool(facts, "teamtalk_slave")
    assert (primary.topology, [replica.topology for replica in replicas]) == ("primary", ["replica", "replica"])
    assert primary.description.startswith("primary with 2 replicas, asynchronous")
    assert "asynchronous" in names(primary)
    for replica in replicas:
        assert replica.description == f"replica of 127.0.0.1:{dbproxy_replicas.primary.port}"
        assert names(replica) == set()


def test_a_replica_that_is_stopped_is_told(dbproxy_replicas: ReplicaStack) -> None:
    dbproxy_replicas.reset()
    dbproxy_replicas.stop_replication()
    with stores(dbproxy_replicas) as facts:
        assert [names(replica) for replica in all_of_pool(facts, "teamtalk_slave")] == [{"replication_stopped"}, set()]
    dbproxy_replicas.start_replication()


def test_a_node_of_a_cluster_knows_its_place(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    with stores(dbproxy_galera, dbproxy_galera.on(1)) as facts:
        node = of_pool(facts, "teamtalk_master")
    assert (node.topology, node.pools) == ("galera", ("teamtalk_master", "teamtalk_slave"))
    assert node.description.endswith("of 2, Synced")
    assert "quorum" in names(node)


@pytest.mark.long
def test_a_failover_is_followed_by_what_is_said_of_the_new_server() -> None:
    with ReplicaStack(list_hosts=True) as stack, ProxyProcess(stack) as proxy:
        seed.user(stack, 1)
        stack.promote()
        with proxy.client() as client:
            eventually(lambda: client.change_sign_info(1, "asks the new primary").result_code, 0, 20)
        assert eventually(lambda: f"at 127.0.0.1:{stack.primary.port} (teamtalk_master" in proxy.log(), True, 20)


def test_a_master_that_sentinels_name_is_told_apart_from_one_with_a_fixed_address(dbproxy_sentinels: SentinelStack) -> None:
    dbproxy_sentinels.reset()
    master = dbproxy_sentinels.master()
    fixed = {"token_sentinels": None, "token_service": None, "token_host": "127.0.0.1", "token_port": master.port}
    with stores(dbproxy_sentinels, fixed) as facts:
        followed, not_followed = of_pool(facts, "unread"), of_pool(facts, "token")
    assert (followed.topology, not_followed.topology) == ("sentinel", "primary")
    assert followed.description == "master with 2 replicas, found by Sentinels"
    assert "failover_not_followed" in names(not_followed) - names(followed)
