"""What is said about servers of all kinds, and what is not promised on them; from what such servers answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from dbproxy.stores.mysql import promises
from dbproxy.stores.mysql.facts import GroupMember, MySQLServer
from dbproxy.stores.mysql.replication import ReplicaStatus, replica_status, status_statement
from dbproxy.stores.redis import facts
from dbproxy.stores.redis.facts import RedisServer
from dbproxy.stores.server_facts import ServerFacts

STOCK = MySQLServer(
    version="10.11.19-MariaDB-deb12",
    variables={"server_uid": "u1", "read_only": "OFF", "log_bin": "OFF", "sync_binlog": "0", "innodb_flush_log_at_trx_commit": "1"},
    status={"slaves_connected": "0"},
    sources=(),
    replicas=0,
    group=(),
    clock=(0.0, 0.001),
)
PRIMARY = replace(STOCK, replicas=2)
FOLLOWING = ReplicaStatus("10.0.0.1:3306", "1", "Yes", "Yes", 0, ("0", "0"))


def with_settings(server: MySQLServer = STOCK, status: dict[str, str] | None = None, **variables: str) -> MySQLServer:
    return replace(server, variables={**server.variables, **variables}, status={**server.status, **(status or {})})


def galera(size: int, **status: str) -> MySQLServer:
    common = {"wsrep_cluster_size": str(size), "wsrep_local_index": "0", "wsrep_cluster_status": "Primary", "wsrep_ready": "ON"}
    return with_settings(status={**common, "wsrep_local_state_comment": "Synced", **status}, wsrep_on="ON")


def group(*members: GroupMember, single: str = "OFF") -> MySQLServer:
    server = replace(STOCK, version="9.7.4", group=members)
    return with_settings(server, None, server_uuid="a", group_replication_group_name="g", group_replication_single_primary_mode=single)


def semi_sync(point: str, working: str = "ON") -> MySQLServer:
    status = {"rpl_semi_sync_master_status": working}
    return with_settings(PRIMARY, status, rpl_semi_sync_master_enabled="ON", rpl_semi_sync_master_wait_point=point)


def of_master(server: MySQLServer) -> ServerFacts:
    return promises.describe(server, "db:3306", ["teamtalk_master"])


def of_slave(server: MySQLServer) -> ServerFacts:
    return promises.describe(server, "db:3306", ["teamtalk_slave"])


def broken(said: ServerFacts) -> dict[str, bool]:
    """Name of each limitation → whether it breaks a promise."""
    return {limitation.name: limitation.breaks_promise for limitation in said.limitations}


def test_a_stock_server_promises_all() -> None:
    said = of_master(STOCK)
    assert (said.engine, said.version, said.topology, said.description) == ("MariaDB", "10.11.19", "single", "single server")
    assert broken(said) == {}
    assert str(said) == "MariaDB 10.11.19 at db:3306 (teamtalk_master)"


@pytest.mark.parametrize(
    ("version", "variables", "engine"),
    [
        ("10.11.19-MariaDB", {}, "MariaDB"),
        ("8.0.36-28", {"version_comment": "Percona Server (GPL), Release 28"}, "Percona Server"),
        ("8.0.28", {"aurora_version": "3.04.0"}, "Aurora MySQL"),
        ("8.0.11-TiDB-v8.5.0", {}, "TiDB"),
        ("9.7.4", {"version_comment": "(Debian)"}, "MySQL"),
    ],
)
def test_products_are_told_apart(version: str, variables: dict[str, str], engine: str) -> None:
    assert of_master(with_settings(replace(STOCK, version=version), None, **variables)).engine == engine


@pytest.mark.parametrize(
    ("server", "topology", "described", "limitations"),
    [
        (PRIMARY, "primary", "primary with 2 replicas, asynchronous", {"asynchronous": False}),
        (semi_sync("AFTER_SYNC"), "primary", "semi-synchronous (AFTER_SYNC)", {}),
        (semi_sync("AFTER_COMMIT"), "primary", "semi-synchronous (AFTER_COMMIT)", {"semi_synchronous": False}),
        (semi_sync("AFTER_SYNC", "OFF"), "primary", "asynchronous at the moment", {"asynchronous": False}),
        (replace(STOCK, sources=(FOLLOWING,)), "replica", "replica of 10.0.0.1:3306", {}),
        (replace(STOCK, sources=None, replicas=None), "single", "as far as the account may ask", {}),
        (galera(3), "galera", "Galera node 1 of 3, Synced", {"locks_of_one_node": True}),
        (galera(1), "galera", "Galera node 1 of 1", {}),
        (galera(2), "galera", "Galera node 1 of 2", {"locks_of_one_node": True, "quorum": False}),
        (galera(1, wsrep_ready="OFF", wsrep_cluster_status="non-Primary"), "galera", "Galera", {"not_in_cluster": True}),
        (
            group(GroupMember("a", "ONLINE", "PRIMARY"), GroupMember("b", "ONLINE", "SECONDARY"), single="ON"),
            "group_single_primary",
            "single-primary group replication, primary ONLINE of 2 members",
            {},
        ),
        (
            group(*(GroupMember(uuid, "ONLINE", "PRIMARY") for uuid in "abc")),
            "group_multi_primary",
            "multi-primary group replication, primary ONLINE of 3 members",
            {"locks_of_one_node": True},
        ),
        (group(GroupMember("a", "ERROR", "")), "group_multi_primary", "member ERROR of 1 member", {"not_in_cluster": True}),
        (group(GroupMember("a", "OFFLINE", "")), "single", "single server", {}),
        (replace(group(), group=None), "group_multi_primary", "members the account may not ask for", {"locks_of_one_node": True}),
    ],
)
def test_topologies_of_mysql(server: MySQLServer, topology: str, described: str, limitations: dict[str, bool]) -> None:
    said = of_master(server)
    assert said.topology == topology
    assert described in said.description
    assert broken(said) == limitations


def test_locks_that_all_nodes_know_are_a_promise_kept() -> None:
    assert broken(of_master(replace(galera(3), has_lock_rows=True))) == {}


@pytest.mark.parametrize(
    ("server", "limitations"),
    [
        (with_settings(innodb_flush_log_at_trx_commit="2"), {"durability": True}),
        (with_settings(log_bin="ON"), {"durability": True}),
        (with_settings(log_bin="ON", sync_binlog="1"), {}),
        (with_settings(galera(1), innodb_flush_log_at_trx_commit="2"), {"durability": False}),
        (with_settings(read_only="ON"), {"read_only": True}),
        (replace(STOCK, clock=(-7.0, 0.5)), {"clock": True}),
        (replace(STOCK, clock=(7.0, 6.0)), {}),  # the answer took so long that nothing can be said
    ],
)
def test_settings_of_a_master_that_break_promises(server: MySQLServer, limitations: dict[str, bool]) -> None:
    assert broken(of_master(server)) == limitations


@pytest.mark.parametrize(
    ("server", "limitations"),
    [
        (with_settings(read_only="ON", innodb_flush_log_at_trx_commit="2"), {"no_replication": False}),
        (replace(STOCK, sources=(FOLLOWING,)), {}),
        (replace(STOCK, sources=(replace(FOLLOWING, applies="No"),)), {"replication_stopped": False}),
        (replace(STOCK, sources=None), {}),
        (galera(3), {}),
    ],
)
def test_what_matters_of_a_server_that_is_only_read(server: MySQLServer, limitations: dict[str, bool]) -> None:
    assert broken(of_slave(server)) == limitations


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        ("10.11.19-MariaDB-deb12", "show all slaves status"),
        ("5.7.44-log", "show slave status"),
        ("8.0.21", "show slave status"),
        ("8.0.22", "show replica status"),
        ("9.7.4", "show replica status"),
        ("unknown", "show replica status"),
    ],
)
def test_each_version_is_asked_for_its_replication_as_it_understands(version: str, statement: str) -> None:
    assert status_statement(version) == statement


def test_rows_that_are_no_replica_status_are_left_out() -> None:
    row = [b""] * 60
    row[10], row[11] = b"Yes", b"Perhaps"
    assert list(replica_status([row, row[:20]], "9.7.4")) == []
    row[11], row[32] = b"Yes", None  # type: ignore[call-overload]
    assert [(status.works, status.lag) for status in replica_status([row], "9.7.4")] == [(True, None)]


REDIS = {
    "redis_version": "7.0.15",
    "run_id": "r",
    "redis_mode": "standalone",
    "role": "master",
    "connected_slaves": "0",
    "aof_enabled": "1",
}
POOLS = ("unread", "token")


def of_redis(server: RedisServer, pools: tuple[str, ...] = POOLS, **options: bool) -> ServerFacts:
    return facts.describe(server, "cache:6379", pools, **options)


def redis_server(appendfsync: str | None = "always", save: str | None = "", **info: str) -> RedisServer:
    return RedisServer({**REDIS, **info}, appendfsync, save)


@pytest.mark.parametrize(
    ("info", "engine"),
    [
        ({}, ("Redis", "7.0.15")),
        ({"valkey_version": "8.0.1"}, ("Valkey", "8.0.1")),
        ({"mvcc_depth": "0", "redis_version": "6.3.4"}, ("KeyDB", "6.3.4")),
        ({"dragonfly_version": "df-v1.20.1"}, ("Dragonfly", "1.20.1")),
    ],
)
def test_products_that_speak_as_redis_are_told_apart(info: dict[str, str], engine: tuple[str, str]) -> None:
    said = of_redis(redis_server(**info))
    assert (said.engine, said.version) == engine


@pytest.mark.parametrize(
    ("server", "options", "topology", "described", "limitations"),
    [
        (redis_server(), {}, "single", "single master", {}),
        (
            redis_server(connected_slaves="2"),
            {},
            "primary",
            "master with 2 replicas",
            {"asynchronous": False, "failover_not_followed": False},
        ),
        (redis_server(connected_slaves="1"), {"sentinels": True}, "sentinel", "master with 1 replica,", {"asynchronous": False}),
        (redis_server(role="slave", master_host="10.0.0.9", master_port="6379"), {}, "replica", "of 10.0.0.9:6379", {"role": True}),
        (redis_server(redis_mode="cluster"), {}, "cluster", "cluster node, master with 0 replicas", {"role": True}),
        (redis_server(redis_mode="cluster"), {"cluster": True}, "cluster", "state unknown", {"node_without_replica": False}),
        (redis_server(redis_mode="sentinel"), {}, "sentinel_process", "keeps no data", {"role": True}),
        (RedisServer({}), {}, "unknown", "may not use INFO", {"no_info": True}),
    ],
)
def test_topologies_of_redis(
    server: RedisServer, options: dict[str, bool], topology: str, described: str, limitations: dict[str, bool]
) -> None:
    said = of_redis(server, POOLS, **options)
    assert said.topology == topology
    assert described in said.description
    assert broken(said) == limitations


@pytest.mark.parametrize(
    ("server", "pools", "limitations"),
    [
        (redis_server("everysec"), POOLS, {"persistence": False}),
        (redis_server(None), POOLS, {}),
        (redis_server(aof_enabled="0"), POOLS, {"persistence": False}),
        (redis_server(aof_enabled="0", save="3600 1"), POOLS, {"persistence": False}),
        (redis_server(aof_enabled="0"), ("group_member", "sync"), {}),
        (redis_server(maxmemory_policy="allkeys-lru", maxmemory="1000000"), POOLS, {"eviction": True}),
        (redis_server(maxmemory_policy="allkeys-lru", maxmemory="0"), POOLS, {"eviction": False}),
        (redis_server(maxmemory_policy="allkeys-lru", maxmemory="1000000"), ("group_member",), {"eviction": False}),
        (redis_server(maxmemory_policy="volatile-lru", maxmemory="1000000"), POOLS, {}),
        (redis_server(aof_last_write_status="err"), POOLS, {"saving": True}),
    ],
)
def test_what_a_redis_may_lose(server: RedisServer, pools: tuple[str, ...], limitations: dict[str, bool]) -> None:
    assert broken(of_redis(server, pools)) == limitations


def test_what_is_lost_is_named_for_the_pools_of_the_server() -> None:
    (limitation,) = of_redis(redis_server(aof_enabled="0"), ("token",)).limitations
    assert "device tokens" in limitation.text
    assert "unread" not in limitation.text


def test_replies_that_are_refused_are_things_that_are_not_known() -> None:
    refused: Any = redis.ResponseError("NOPERM this user has no permissions")
    assert RedisServer.of([refused] * 4) == RedisServer({})
    replies = [b"# Server\r\nredis_version:7.0.15\r\n", [b"appendfsync", b"always"], [b"save", b"3600 1"], b"cluster_state:fail\r\n"]
    server = RedisServer.of(replies)
    assert (server.info, server.appendfsync, server.save) == ({"redis_version": "7.0.15"}, "always", "3600 1")
    assert "cluster_state" in broken(of_redis(server))
