"""Backends that die, freeze, forget or lose connections under load: nothing acknowledged is lost, ids never repeat, all comes back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pymysql
import pytest

from dbproxy.testing import Client, ProxyProcess, Stack
from dbproxy.testing.faulty_link import FaultyLink
from devtools.traffic import Traffic

CONVERSATIONS = [(1, 2, False), (2, 1, False), (3, 4, False), (1, 9, True), (2, 9, True), (3, 9, True)]

KEYS = {"DBTimeout": 6, "DBLockTimeout": 2, "CacheTimeout": 6, "DBConnectTimeout": 2, "CacheConnectTimeout": 2, "ThreadNum": 16}

pytestmark = [pytest.mark.watchdog(180), pytest.mark.data(groups={9: [1, 2, 3]})]


@pytest.fixture
def proxies(stack: Stack) -> Iterator[list[ProxyProcess]]:
    """Two proxies on the same databases."""
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(stack, KEYS)) for _ in range(2)]


def traffic_on(proxies: list[ProxyProcess]) -> Traffic:
    def connect(number: int) -> Client:
        return proxies[number % len(proxies)].client(timeout=20)

    return Traffic(connect, CONVERSATIONS)


def test_mysql_killed_and_restarted_under_load(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(2):
            traffic.wait_for(100)
            stack.mariadb.kill()
            time.sleep(0.3)
            stack.mariadb.start()
            traffic.wait_for(60)
    assert traffic.verify(stack) == []


@pytest.mark.parametrize("backend", ["mysql", "redis"])
def test_a_backend_frozen_for_three_seconds_under_load(stack: Stack, proxies: list[ProxyProcess], backend: str) -> None:
    server = {"mysql": stack.mariadb, "redis": stack.redis_server}[backend]
    with traffic_on(proxies) as traffic:
        traffic.wait_for(60)
        server.freeze()
        time.sleep(3)
        server.thaw()
        traffic.wait_for(60)
    assert traffic.verify(stack) == []
    assert traffic.unanswered == 0


def test_redis_killed_and_back_empty_under_load(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(3):
            traffic.wait_for(100)
            stack.redis_server.kill()
            time.sleep(0.2)
            stack.redis_server.start()
            traffic.wait_for(60)
    assert traffic.verify(stack) == []


def test_redis_flushed_again_and_again_under_load(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic, stack.redis("unread") as redis:
        for _ in range(20):
            traffic.wait_for(20)
            redis.flushall()
        traffic.wait_for(50)
    assert traffic.verify(stack) == []


def test_a_counter_from_an_old_snapshot_never_gives_an_id_again(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic, stack.redis("unread") as redis:
        traffic.wait_for(60)
        old = {key: redis.get(key) for key in redis.keys("*msg_id_*")}
        traffic.wait_for(100)
        redis.mset({key: value or 0 for key, value in old.items()})
        traffic.wait_for(100)
    assert traffic.verify(stack) == []


def test_connections_killed_by_the_server_go_unnoticed(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(15):
            traffic.wait_for(15)
            for row in stack.rows("show processlist"):  # MySQL's information_schema cannot show some statements
                if (row["User"], row["Command"]) == ("teamtalk", "Sleep"):
                    with contextlib.suppress(pymysql.err.OperationalError):  # it may be gone by now
                        stack.rows(f"kill {row['Id']}")
        traffic.wait_for(30)
    assert traffic.verify(stack) == []


def test_idle_connections_that_died_are_replaced(stack: Stack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        stack.mariadb.restart()
        stack.redis_server.restart()
        assert client.send_message(1, 2).msg_id == 2
        assert client.messages(1, 2).msg_list[0].msg_id == 2
        assert "ERROR" not in proxy.log()


@pytest.mark.parametrize("pass_on", [True, False], ids=["after the server got it", "before the server got it"])
def test_connection_cut_during_a_commit(stack: Stack, pass_on: bool) -> None:
    with (
        FaultyLink(stack.mariadb.address) as link,
        ProxyProcess(stack, {**KEYS, "teamtalk_master_port": link.port}) as proxy,
        proxy.client() as client,
    ):
        assert client.send_message(1, 2, "first").msg_id == 1
        for number in range(2, 12):
            link.cut_at(b";commit", pass_on=pass_on)
            assert client.send_message(1, 2, f"m{number}").msg_id
        assert link.cuts == 10
        link.cut_at(b";commit", pass_on=pass_on)
        assert client.send_group_message(1, 9, "to all").msg_id
    texts = [row["content"] for row in stack.rows("select content from IMMessage_1 order by id")]
    assert texts == ["first", *(f"m{number}" for number in range(2, 12))]
    assert stack.rows("select count(*) as n from IMGroupMessage_1") == [{"n": 1}]
    with stack.redis("unread") as redis:
        assert redis.hget("unread_2", "1") == "11"


def test_connections_cut_at_random_under_load(stack: Stack) -> None:
    with (
        FaultyLink(stack.mariadb.address) as mysql,
        FaultyLink(stack.redis_server.address) as redis,
        ExitStack() as exits,
    ):
        ports = {f"{pool}_port": redis.port for pool in ("unread", "group_set", "sync", "token", "group_member")}
        keys = {**KEYS, **ports, "teamtalk_master_port": mysql.port, "teamtalk_slave_port": mysql.port}
        proxies = [exits.enter_context(ProxyProcess(stack, keys)) for _ in range(2)]
        with traffic_on(proxies) as traffic:
            for round_number in range(20):
                traffic.wait_for(15)
                if round_number % 4 == 0:
                    mysql.cut_all()
                elif round_number % 4 == 1:
                    redis.cut_all()
                else:
                    mysql.cut_at(b"insert into IM", pass_on=round_number % 4 == 2)
            traffic.wait_for(30)
    assert traffic.verify(stack) == []


def test_a_killed_proxy_has_lost_nothing_that_it_acknowledged(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(2):
            traffic.wait_for(100)
            proxies[0].kill()
            proxies[0].start()
            traffic.wait_for(60)
    assert traffic.verify(stack) == []


def test_a_proxy_that_stops_under_load_has_answered_what_it_stored(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(100)
        proxies[0].terminate()
        assert proxies[0].wait(10) == 0
        traffic.wait_for(50)
    assert traffic.verify(stack) == []


def test_deadlocks_with_other_transactions_are_retried(stack: Stack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        traffic.wait_for(30)
        connection = stack.mysql()
        try:
            for _ in range(30):
                connection.begin()
                with connection.cursor() as cursor, contextlib.suppress(pymysql.err.OperationalError):  # the victim may be us
                    cursor.execute("update IMRecentSession set updated=updated+1 where id in (2,3)")
                    cursor.execute("update IMRelationShip set updated=updated+1 where id in (1,2)")
                    cursor.execute("update IMGroup set updated=updated+1 where id=9")
                connection.rollback()
        finally:
            connection.close()
        traffic.wait_for(30)
    assert traffic.verify(stack) == []


def test_messages_are_refused_while_redis_is_out_of_memory(stack: Stack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        with stack.redis("unread") as redis:
            redis.config_set("maxmemory", "1")
            try:
                assert client.send_message(1, 2).msg_id == 0
            finally:
                redis.config_set("maxmemory", "0")
        assert client.send_message(1, 2).msg_id > 1
    assert stack.rows("select count(*) as n from IMMessage_1") == [{"n": 2}]
