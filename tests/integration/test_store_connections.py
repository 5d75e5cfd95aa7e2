"""Connections to real servers: their time limits are the kernel's, and statements may be longer than a packet."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pymysql
import pytest
from fake_backends import RecordingResolver

from dbproxy.config import Config, load_config
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.mysql.errors import NotExecutedError
from dbproxy.stores.redis import CachePool
from dbproxy.testing import Stack

KEYS: dict[str, object] = {"DBTimeout": 7.25, "CacheTimeout": 2.5, "teamtalk_master_maxconncnt": 1}


@pytest.fixture
def config(dbproxy_stack: Stack) -> Config:
    return load_config(dbproxy_stack.write_config(overrides=KEYS))


@pytest.fixture
def resolver() -> RecordingResolver:
    return RecordingResolver()


@pytest.fixture
def database(config: Config, resolver: RecordingResolver) -> Iterator[DBPool]:
    pool = DBPool(config.db_instances["teamtalk_master"], config, resolver)
    pool.open()
    yield pool
    pool.close()


def kernel_timeout(sock: socket.socket) -> tuple[int, int]:
    """Seconds and microseconds for each send and receive, which Python leaves to the kernel."""
    assert sock.gettimeout() is None
    limits = {sock.getsockopt(socket.SOL_SOCKET, option, 16) for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)}
    assert len(limits) == 1
    seconds, microseconds = struct.unpack("@ll", limits.pop())
    return seconds, microseconds


def test_the_kernel_times_statements_as_configured(database: DBPool, resolver: RecordingResolver) -> None:
    (sock,) = resolver.sockets
    seconds, microseconds = kernel_timeout(sock)
    assert seconds + microseconds / 1e6 == pytest.approx(7.25, abs=0.01)  # the kernel counts in ticks


def test_the_kernel_times_redis_commands_as_configured(config: Config, resolver: RecordingResolver) -> None:
    pool = CachePool(config.cache_instances["unread"], config, resolver)
    pool.open()
    (sock,) = resolver.sockets
    seconds, microseconds = kernel_timeout(sock)
    assert seconds + microseconds / 1e6 == pytest.approx(2.5, abs=0.01)
    pool.close()


@pytest.mark.parametrize("length", [1 << 20, 0xFFFFFF - 19, 0xFFFFFF - 18, 0xFFFFFF - 17, 20 << 20])
def test_a_statement_may_be_longer_than_a_packet(database: DBPool, length: int) -> None:
    (former,) = database.select("select @@global.max_allowed_packet")
    with database.connection() as connection:
        connection.execute("set global max_allowed_packet=67108864")
        connection.close()  # a new connection asks for the limit again
    try:
        with database.connection() as connection:
            assert connection.select("select length(%s)", ("x" * length,)) == [(b"%d" % length,)]
            assert connection.select("select 1") == [(b"1",)]
    finally:
        with database.connection() as connection:
            connection.execute(f"set global max_allowed_packet={int(former[0])}")
            connection.close()


def test_a_later_statement_is_not_sent_again_after_an_error(database: DBPool, resolver: RecordingResolver) -> None:
    with database.connection() as connection:  # it was idle, so the first statement could have been sent again
        with pytest.raises(pymysql.err.ProgrammingError):
            connection.select("select 1 from no_such_table")
        resolver.sockets[-1].shutdown(socket.SHUT_RDWR)
        with pytest.raises(NotExecutedError):
            connection.execute("do 1")
    assert database.select("select 1") == [(b"1",)]
