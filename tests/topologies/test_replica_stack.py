"""A primary with replicas, as other tests use it: what ReplicaStack promises."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from dbproxy.testing import ReplicaStack, seed
from dbproxy.testing.replication import APP_PASSWORD, APP_USER, ReplicatedServer
from dbproxy.testing.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.watchdog(180)]


@pytest.fixture
def replicated(dbproxy_replicas: ReplicaStack) -> Iterator[ReplicaStack]:
    dbproxy_replicas.reset()
    yield dbproxy_replicas
    dbproxy_replicas.reset()


def names(server: ReplicatedServer) -> list[str]:
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("select name from IMUser order by id")
        return [row["name"] for row in cursor.fetchall()]


def test_replicas_follow_and_are_emptied_with_the_primary(replicated: ReplicaStack) -> None:
    seed.users(replicated, "alice", "bob")
    replicated.wait_for_replicas()
    assert [names(server) for server in replicated.servers] == [["alice", "bob"]] * 3
    replicated.reset()
    assert [names(server) for server in replicated.servers] == [[]] * 3


def test_a_replica_that_is_stopped_or_delayed_stays_behind(replicated: ReplicaStack) -> None:
    replicated.stop_replication(0)
    replicated.delay(1, 20)
    seed.users(replicated, "alice")
    assert [names(server) for server in replicated.replicas[:2]] == [[], []]
    replicated.delay(1, 0)
    assert eventually(lambda: names(replicated.replicas[1]), ["alice"], 10) == ["alice"]
    replicated.start_replication(0)
    replicated.wait_for_replicas()
    assert names(replicated.replicas[0]) == ["alice"]


def test_replicas_refuse_the_writes_of_proxies(replicated: ReplicaStack) -> None:
    with (
        closing(
            pymysql.connect(host="127.0.0.1", port=replicated.replicas[0].port, user=APP_USER, password=APP_PASSWORD, ssl_disabled=True)
        ) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.MySQLError, match="read-only"),
    ):
        cursor.execute("delete from teamtalk.IMUser")


def test_a_planned_switch_loses_nothing_and_can_be_taken_back(replicated: ReplicaStack) -> None:
    seed.user(replicated, 1, "alice")
    replicated.promote(1)
    assert replicated.primary is replicated.replicas[1]
    seed.user(replicated, 2, "bob")
    replicated.wait_for_replicas()
    assert [names(server) for server in replicated.servers] == [["alice", "bob"]] * 3
    replicated.reset()
    assert replicated.primary is replicated.servers[0]
    seed.user(replicated, 3, "carol")
    replicated.wait_for_replicas()
    assert [names(server) for server in replicated.servers] == [["carol"]] * 3


def test_a_replica_takes_over_from_a_primary_that_crashed(replicated: ReplicaStack) -> None:
    seed.user(replicated, 1, "alice")
    replicated.wait_for_replicas()
    former = replicated.primary
    former.kill()
    replicated.promote(0)
    seed.user(replicated, 2, "bob")
    replicated.wait_for_replicas()
    former.start()
    replicated.follow(former)
    replicated.wait_for_replicas()
    assert [names(server) for server in replicated.servers] == [["alice", "bob"]] * 3


def test_with_semi_synchronous_replication_a_commit_waits_for_a_replica() -> None:
    with ReplicaStack(semi_sync=True, semi_sync_timeout=2, list_hosts=True) as replicated:
        keys = replicated.config()
        assert (keys["teamtalk_master_host"].count(","), keys["teamtalk_slave_host"].count(",")) == (1, 0)
        seed.user(replicated, 1, "alice")
        replicated.stop_replication()
        began = time.monotonic()
        seed.user(replicated, 2, "bob")  # nobody acknowledges it, and after the time limit it is committed all the same
        assert time.monotonic() - began > 1.9
