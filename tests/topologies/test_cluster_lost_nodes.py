"""A Redis Cluster without some of its nodes, for long: what needs no lost node works."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from examined import examined

from dbproxy.config import Config, load_config
from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis import check_caches
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.backend_facts import BackendFacts
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.redis import CacheManager
from dbproxy.testing import ClusterStack, ProxyProcess
from dbproxy.testing.cluster_node import ClusterNode
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(120)

LOOKS = 50


@pytest.fixture
def stack(dbproxy_cluster: ClusterStack) -> ClusterStack:
    dbproxy_cluster.reset()
    return dbproxy_cluster


@contextlib.contextmanager
def opened(config: Config) -> Iterator[CacheManager]:
    caches = CacheManager(config)
    caches.open()
    try:
        yield caches
    finally:
        caches.close()


def lose(stack: ClusterStack, master: ClusterNode) -> None:
    """A master and its replica, so that its slots have no node; the others go on."""
    for node in stack.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    stack.kill(stack.replica_of(master))
    stack.kill(master)


def test_looking_at_the_cluster_keeps_no_connection(stack: ClusterStack) -> None:
    """Each look asks another node, replicas too, whose connections are closed after it."""
    with opened(load_config(stack.write_config())) as caches:
        pool = caches.unread
        assert pool._state.cluster is not None
        known = pool._state.cluster.map
        for _ in range(LOOKS):
            known.look(pool._notices)
        assert all(len(node._made) <= 1 for node in known._nodes.values())
        assert pool.report().calls >= LOOKS


def test_a_pool_is_made_anew_although_the_node_that_is_configured_is_gone_from_the_cluster(stack: ClusterStack) -> None:
    config = load_config(stack.write_config())
    with opened(config) as caches:
        first = stack.nodes[0]
        if first in stack.masters():
            stack.fail_over(first)
        stack.kill(first)

        def is_forgotten() -> bool:
            """By all nodes, for any of them may be asked, and by the pool."""
            if any(str(first.port) in str(node.ask("CLUSTER", "SLOTS")) for node in stack.nodes[1:]):
                return False
            pool = caches.unread
            assert pool._state.cluster is not None
            pool._state.cluster.map.look(pool._notices)
            return all(port != first.port for _, port in pool._state.cluster.map.topology.nodes)

        assert eventually(is_forgotten, True, 20)
        larger = dataclasses.replace(config.cache_instances["unread"], maxconncnt=3)
        candidate = caches.candidate("unread", dataclasses.replace(config, cache_instances={**config.cache_instances, "unread": larger}))
        candidate.open()
        caches.unread.adopt(candidate)
        candidate.close()
        caches.unread.check()
        assert caches.unread.report().limit == 9


def test_a_lost_master_hides_no_other_from_what_is_said_of_the_servers(stack: ClusterStack) -> None:
    config = load_config(stack.write_config(overrides={"CacheTimeout": 1}))
    databases = DBManager(config)
    databases.open()
    with opened(config) as caches:
        try:
            lost = stack.owner("msg_id_1")
            lose(stack, lost)
            facts = BackendFacts(databases, caches)
            facts.check()
            facts.wait(60)
            facts.stop()
            ports = {int(known.server.rpartition(":")[2]) for known in facts.known if known.kind == "redis"}
            assert ports == {node.port for node in stack.masters() if node is not lost}
            assert caches.unread.report().works
        finally:
            databases.close()


def test_conversations_of_other_nodes_are_stored_out_of_a_batch_that_needs_a_lost_one_too(stack: ClusterStack) -> None:
    number = 20
    keys = {"ThreadNum": 16, "StopGrace": 1, "CacheTimeout": 1}
    with ProxyProcess(stack, keys) as proxy, proxy.client(timeout=30) as client:
        for relation in range(1, number + 1):
            assert client.send_message(relation, 100 + relation).msg_id == 1
        owners = {relation: stack.owner(f"msg_id_{relation}") for relation in range(1, number + 1)}
        lost = owners[1]
        lose(stack, lost)
        assert client.send_message(1, 101).msg_id == 0
        replies: Sequence[Any] = client.requests([message(relation, 100 + relation) for relation in owners for _ in (1, 2)], timeout=30)
        for relation, owner in owners.items():
            ids = [reply.msg_id for reply in replies if reply.from_user_id == relation]
            if owner is lost:
                assert ids == [0, 0]
            else:
                assert 1 < ids[0] < ids[1]


def test_a_cluster_that_is_lost_as_a_whole_is_waited_for_once(stack: ClusterStack) -> None:
    with ProxyProcess(stack, {"ThreadNum": 16, "StopGrace": 1, "CacheTimeout": 1}) as proxy, proxy.client(timeout=30) as client:
        for relation in range(1, 11):
            assert client.send_message(relation, 100 + relation).msg_id == 1
        for node in stack.nodes:
            stack.kill(node)
        replies: Sequence[Any] = client.requests([message(relation, 100 + relation) for relation in range(1, 11)], timeout=25)
        assert [reply.msg_id for reply in replies] == [0] * 10


def test_a_node_that_is_configured_as_a_single_redis_is_recognised(stack: ClusterStack) -> None:
    for number in (0, 1):
        found = examined(check_caches, stack, {"token_cluster": "off", "token_db": number}).only(Kind.ROLE, "Redis token")
        assert found.level is Level.ERROR
        assert "token_cluster=on, and no token_db" in found.remedy


def test_a_pool_whose_nodes_are_all_lost_says_so(stack: ClusterStack) -> None:
    with opened(load_config(stack.write_config(overrides={"CacheTimeout": 1}))) as caches:
        assert caches.unread.works_in_part
        for node in stack.nodes:
            stack.kill(node)
        with pytest.raises(StoreUnavailableError):
            caches.unread.check()
        with pytest.raises(StoreUnavailableError):
            caches.unread.execute([("GET", f"unread_{number}") for number in range(50)])
        assert not caches.unread.works_in_part
