"""No more connections than configured: other threads wait for one, and not for ever. MySQL and Redis are real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dbproxy.config import Config, load_config
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.redis import CachePool
from dbproxy.stores.resolver import Resolver
from dbproxy.testing import Stack
from dbproxy.testing.waiting import eventually

PING = ("PING",)
LIST = "test_pool_limits"


def config_of(stack: Stack, seconds: float) -> Config:
    keys = {"DBPoolTimeout": seconds, "CachePoolTimeout": seconds, "teamtalk_master_maxconncnt": 1, "unread_maxconncnt": 1}
    return load_config(stack.write_config(overrides=keys))


@contextmanager
def opened(stack: Stack, seconds: float) -> Iterator[tuple[DBPool, CachePool]]:
    """Yield pools of one connection each."""
    config, resolver = config_of(stack, seconds), Resolver()
    database = DBPool(config.db_instances["teamtalk_master"], config, resolver)
    cache = CachePool(config.cache_instances["unread"], config, resolver)
    database.open()
    cache.open()
    try:
        yield database, cache
    finally:
        database.close()
        cache.close()


@contextmanager
def busy(stack: Stack, cache: CachePool) -> Iterator[None]:
    """Let another thread use the connection to Redis for the length of the block: its command waits for an element of a list."""
    redis = stack.redis("unread")
    thread = threading.Thread(target=cache.execute, args=([("BLPOP", LIST, "0")],))
    thread.start()
    assert eventually(lambda: redis.info("clients")["blocked_clients"], 1) == 1
    try:
        yield
    finally:
        redis.rpush(LIST, "the end")
        thread.join(10)
    assert not thread.is_alive()


def test_a_thread_gets_the_connection_to_mysql_when_another_is_done(dbproxy_stack: Stack) -> None:
    rows: list[object] = []
    with opened(dbproxy_stack, 10) as (database, _):
        with database.connection():
            waiter = threading.Thread(target=lambda: rows.extend(database.select("select 1")))
            waiter.start()
            waiter.join(0.05)
            assert waiter.is_alive()
        waiter.join(10)
    assert rows == [(b"1",)]


def test_a_thread_gets_the_connection_to_redis_when_another_is_done(dbproxy_stack: Stack) -> None:
    replies: list[object] = []
    with opened(dbproxy_stack, 10) as (_, cache):
        with busy(dbproxy_stack, cache):
            waiter = threading.Thread(target=lambda: replies.extend(cache.execute([PING])))
            waiter.start()
            waiter.join(0.05)
            assert waiter.is_alive()
        waiter.join(10)
    assert replies == [b"PONG"]


def test_waiting_for_a_connection_ends_with_the_name_of_the_key(dbproxy_stack: Stack) -> None:
    with opened(dbproxy_stack, 0.1) as (database, cache):
        with (
            database.connection(),
            pytest.raises(StoreUnavailableError, match=r"no connection became free within 0.1 s \(teamtalk_master_maxconncnt\)"),
        ):
            database.select("select 1")
        with (
            busy(dbproxy_stack, cache),
            pytest.raises(StoreUnavailableError, match=r"no connection became free within 0.1 s \(unread_maxconncnt\)"),
        ):
            cache.execute([PING])
        assert database.select("select 1") == [(b"1",)]
        assert cache.execute([PING]) == [b"PONG"]
