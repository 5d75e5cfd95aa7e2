"""dbproxy-doctor on real Redis servers: a healthy one gives no warning, and each kind of trouble is named."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from examined import Examined, examined

from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis import check_caches
from dbproxy.doctor.redis.access import USAGE
from dbproxy.testing import InProcessProxy, PrivateRedis, Stack, seed
from dbproxy.testing.process import free_port
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually

WARNING, ERROR = Level.WARNING, Level.ERROR

pytestmark = [pytest.mark.watchdog(60), pytest.mark.usefixtures("stack")]


def look(stack: Stack, **overrides: object) -> Examined:
    return examined(check_caches, stack, overrides)


def on(server: PrivateRedis, **overrides: object) -> dict[str, object]:
    """The keys that lead all pools to a server."""
    return {**{f"{pool}_port": server.port for pool in POOLS}, **overrides}


@pytest.fixture(scope="module")
def durable() -> Iterator[PrivateRedis]:
    """A server as it should be: it keeps what is written."""
    with PrivateRedis(persistent=True) as server:
        yield server


@contextmanager
def setting(server: PrivateRedis, name: str, value: object) -> Iterator[None]:
    with server.connect() as client:
        former = client.config_get(name)[name]
        client.config_set(name, str(value))
        try:
            yield
        finally:
            client.config_set(name, former)


@contextmanager
def account(server: PrivateRedis, *rules: str) -> Iterator[dict[str, Any]]:
    """An account with these rules; yields the keys with which every pool uses it."""
    with server.connect() as client:
        client.execute_command("ACL", "SETUSER", "patient", "reset", "on", ">zqx-secret", *rules)
        try:
            keys = {f"{pool}_username": "patient" for pool in POOLS} | {f"{pool}_password": "zqx-secret" for pool in POOLS}
            yield on(server, **keys)
        finally:
            client.execute_command("ACL", "DELUSER", "patient")


KEYS = (
    *("~msg_id_*", "~group_msg_id_*", "~unread_*", "~*_im_group_msg", "~*_im_user_group", "~total_user_update", "~last_update_group*"),
    *("~group_set_*", "~device_*", "~group_member_*"),
)
COMMANDS = sorted({str(command[0]) for usage in USAGE.values() for command in usage.commands})
LEAST = (*KEYS, *(f"+{command.lower()}" for command in COMMANDS), "+multi", "+exec", "+info", "+ping", "+select")
"""Every command and key that is examined, and no other."""


def test_a_healthy_server_gives_no_warning(stack: Stack, durable: PrivateRedis) -> None:
    found = look(stack, **on(durable))
    assert found.problems == []
    for pool in USAGE:
        for kind in (Kind.VERSION, Kind.ROLE, Kind.COMMANDS, Kind.WRITABLE, Kind.EVICTION, Kind.PERSISTENCE):
            assert found.only(kind, f"Redis {pool}").level is Level.OK
    assert found.only(Kind.CONNECTIONS).level is Level.OK


def test_it_leaves_no_key_and_changes_none(stack: Stack) -> None:
    seed.redis_key(stack, "msg_id_0", "41")
    seed.redis_key(stack, "unread_0", {"0": "7"})
    seed.redis_key(stack, "group_member_0", {"0": "1"})
    before = stack.snapshot()
    assert len(look(stack).of(Kind.WRITABLE)) == len(POOLS)
    assert stack.snapshot() == before


@pytest.mark.parametrize("more", [(), ("+discard",)], ids=["discard refused", "discard allowed"])
def test_an_account_with_just_what_is_examined_is_enough(stack: Stack, durable: PrivateRedis, more: tuple[str, ...]) -> None:
    with account(durable, *LEAST, *more) as keys:
        found = look(stack, **keys)
        assert found.problems == []
        with durable.connect(POOLS["unread"]) as client:
            assert client.keys() == []
        seed.users(stack, "alice", "bob")
        with InProcessProxy(stack, {**keys, "StopGrace": 1}) as proxy, proxy.client() as client:
            assert client.login("alice").result_code == 0
            assert client.send_message(1, 2, "hello").msg_id == 1
            assert client.unread(2).total_cnt == 1
    with durable.connect() as admin:
        admin.flushall()


@pytest.mark.parametrize(
    ("rule", "pool", "command"),
    [("-hincrby", "unread", "HINCRBY"), ("-mget", "token", "MGET"), ("-hset", "group_set", "HSET"), ("-type", "group_member", "TYPE")],
)
def test_a_command_that_the_account_may_not_use_is_named(stack: Stack, durable: PrivateRedis, rule: str, pool: str, command: str) -> None:
    with account(durable, *LEAST, rule) as keys:
        finding = look(stack, **keys).only(Kind.COMMANDS, f"Redis {pool}")
    assert finding.level is ERROR
    assert f"refused: {command} (" in finding.what
    assert f"+{command.lower()} " in finding.remedy


def test_what_only_several_writers_need_is_a_warning(stack: Stack, durable: PrivateRedis) -> None:
    with account(durable, *LEAST, "-sadd", "-rename") as keys:
        finding = look(stack, **keys).only(Kind.COMMANDS, "Redis group_member")
    assert finding.level is Level.WARNING
    assert "refused: SADD, RENAME (" in finding.what
    assert "several writers" in finding.what


def test_keys_that_the_account_may_not_use_are_named(stack: Stack, durable: PrivateRedis) -> None:
    with account(durable, *(rule for rule in LEAST if rule != "~msg_id_*")) as keys:
        finding = look(stack, **keys).only(Kind.COMMANDS, "Redis unread")
    assert finding.level is ERROR
    assert "refused: SET, INCRBY, DEL on keys such as msg_id_0 (" in finding.what


@pytest.mark.parametrize(("rule", "levels"), [("-multi", [ERROR, Level.INFO]), ("-exec", [ERROR])])
def test_transactions_that_are_refused(stack: Stack, durable: PrivateRedis, rule: str, levels: list[Level]) -> None:
    with account(durable, *LEAST, rule) as keys:
        found = look(stack, **keys)
        with durable.connect(POOLS["unread"]) as client:
            assert client.keys() == []
    assert [finding.level for finding in found.of(Kind.COMMANDS, "Redis unread")] == levels
    assert rule[1:].upper() in found.of(Kind.COMMANDS, "Redis unread")[0].what
    assert ERROR not in [finding.level for finding in found.of(Kind.COMMANDS, "Redis token")]  # that pool needs none


def test_an_account_that_may_not_ask_for_info(stack: Stack, durable: PrivateRedis) -> None:
    with account(durable, *LEAST, "-info") as keys:
        finding = look(stack, **keys).of(Kind.COMMANDS, "Redis unread")[0]
    assert (finding.level, "+info" in finding.remedy) == (WARNING, True)


def test_a_renamed_command(stack: Stack) -> None:
    with PrivateRedis(persistent=True, options=("--rename-command", "HINCRBY", "hidden")) as server:
        finding = look(stack, **on(server)).only(Kind.COMMANDS, "Redis unread")
    assert (finding.level, "HINCRBY" in finding.what, "rename-command" in finding.remedy) == (ERROR, True, True)


def test_a_replica_is_an_error(stack: Stack, durable: PrivateRedis) -> None:
    with PrivateRedis(options=("--replicaof", "127.0.0.1", str(durable.port))) as replica:
        found = look(stack, unread_port=replica.port)
    finding = found.only(Kind.ROLE, "Redis unread")
    assert (finding.level, f"127.0.0.1:{durable.port}" in finding.what) == (ERROR, True)
    assert found.of(Kind.WRITABLE, "Redis unread") == []


def test_a_cluster_is_an_error(stack: Stack) -> None:
    with PrivateRedis(options=("--cluster-enabled", "yes", "--cluster-port", str(free_port()))) as node:
        found = look(stack, unread_port=node.port, unread_db=0, token_port=node.port)
    assert found.only(Kind.ROLE, "Redis unread").level is ERROR
    assert "Redis Cluster" in found.only(Kind.ROLE, "Redis token").remedy  # here the login fails: it has database 0 only


@pytest.mark.parametrize(
    ("policy", "limit", "level"),
    [
        ("noeviction", "100mb", Level.OK),
        ("volatile-lru", "100mb", Level.OK),
        ("allkeys-lru", "0", Level.INFO),
        ("allkeys-lru", "100mb", ERROR),
    ],
)
def test_eviction(stack: Stack, durable: PrivateRedis, policy: str, limit: str, level: Level) -> None:
    with setting(durable, "maxmemory", limit), setting(durable, "maxmemory-policy", policy):
        finding = look(stack, **on(durable)).only(Kind.EVICTION, "Redis unread")
    assert finding.level is level
    assert policy in finding.what
    assert ("unread counters" in finding.what) == (level is not Level.OK)


def test_memory_that_is_full(stack: Stack, durable: PrivateRedis) -> None:
    with setting(durable, "maxmemory", 1):
        found = look(stack, **on(durable))
    assert found.of(Kind.MEMORY, "Redis unread")[0].level is WARNING
    finding = found.only(Kind.COMMANDS, "Redis unread")
    assert (finding.level, "HINCRBY" in finding.what, "GET" in finding.what, "maxmemory" in finding.remedy) == (ERROR, True, False, True)


def test_what_is_lost_without_persistence(stack: Stack) -> None:
    found = look(stack)
    assert {pool: found.only(Kind.PERSISTENCE, f"Redis {pool}").level for pool in USAGE} == {
        "unread": WARNING,
        "group_set": WARNING,
        "token": WARNING,
        "group_member": Level.INFO,
    }
    with setting(stack.redis_server, "save", "900 1"):
        finding = look(stack).only(Kind.PERSISTENCE, "Redis unread")
    assert (finding.level, "save 900 1" in finding.what) == (Level.INFO, True)


def test_a_disk_that_cannot_be_written(stack: Stack) -> None:
    with PrivateRedis(options=("--dbfilename", "dump.rdb")) as server, server.connect() as client:
        (server.directory / "dump.rdb").mkdir()  # the snapshot cannot be put there
        client.config_set("save", "900 1")
        client.set("x", 1)
        client.bgsave()
        assert eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"], "err", 30) == "err"
        found = look(stack, unread_port=server.port)
    start, saving = found.of(Kind.SAVING, "Redis unread")
    assert (start.level, "MISCONF" in start.what) == (ERROR, True)
    assert (saving.level, "rdb_last_bgsave_status" in saving.what) == (ERROR, True)
    assert found.of(Kind.COMMANDS, "Redis unread")[0].level is ERROR


def test_connections_are_counted_over_all_pools_of_a_server(stack: Stack, durable: PrivateRedis) -> None:
    with setting(durable, "maxclients", 60):
        finding = look(stack, **on(durable)).only(Kind.CONNECTIONS)
        assert (finding.level, "maxclients is 60" in finding.what, "may take 80" in finding.what) == (ERROR, True, True)
        small: dict[str, object] = {f"{pool}_maxconncnt": 4 for pool in POOLS}
        assert look(stack, **on(durable, **small)).only(Kind.CONNECTIONS).level is Level.OK


def test_pools_that_share_a_database_number(stack: Stack, durable: PrivateRedis) -> None:
    found = look(stack, **on(durable, token_db=POOLS["unread"]))
    assert "unread, token share the database number 1" in found.only(Kind.SHARED_DATABASE).what
    assert found.problems == []


@pytest.mark.parametrize(
    ("keys", "kind", "hint"),
    [
        ({"unread_password": "zqx-wrong", "unread_username": "nobody"}, Kind.LOGIN, "unread_password"),
        ({"unread_password": "zqx-wrong"}, Kind.LOGIN, "unread_password"),
        ({"unread_db": 99}, Kind.DATABASE, "unread_db"),
        ({"unread_port": 1}, Kind.UNREACHABLE, "nothing listens there"),
        ({"unread_host": "no-such-host.invalid"}, Kind.HOST_UNKNOWN, "/etc/hosts"),
    ],
)
def test_why_a_server_cannot_be_used(stack: Stack, keys: dict[str, object], kind: Kind, hint: str) -> None:
    found = look(stack, **keys)
    (finding,) = [finding for finding in found.findings if finding.subject == "Redis unread"]
    assert (finding.level, finding.kind) == (ERROR, kind)
    assert hint in finding.remedy
    assert "zqx" not in finding.what + finding.remedy
    assert found.only(Kind.ROLE, "Redis token").level is Level.OK


def test_a_password_that_the_server_repeats_is_not_shown(stack: Stack) -> None:
    with PrivateRedis(options=("--rename-command", "AUTH", "hidden")) as server:
        found = look(stack, unread_port=server.port, unread_password="zqx-secret")
    (finding,) = [finding for finding in found.findings if finding.subject == "Redis unread"]
    assert (finding.level, "zqx" in finding.what + finding.remedy) == (ERROR, False)


def test_a_server_that_says_nothing_is_given_up(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = look(stack, unread_port=silent.getsockname()[1], CacheTimeout=0.5, unread_password="zqx-secret")
    (finding,) = [finding for finding in found.findings if finding.subject == "Redis unread"]
    assert (finding.level, finding.kind) == (ERROR, Kind.UNREACHABLE)
