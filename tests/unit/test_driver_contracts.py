"""What the drivers do not promise and the proxy relies on. Each test says in one sentence what a release that fails it has changed."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pymysql
import pytest
import redis
from fake_backends import FakeRedis, RecordingResolver, handshake, packet, serve_mysql

from dbproxy.config import CacheInstance, Config, DBInstance
from dbproxy.errors import FileServerError, StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.mysql.driver import DriverConnection, DriverPool
from dbproxy.stores.redis import CachePool
from dbproxy.stores.redis.driver import DriverConnection as RedisConnection
from dbproxy.stores.resolver import Resolver

MYSQL = DBInstance(
    name="db", hosts=(("nowhere.invalid", None),), default_port=1, dbname="teamtalk", username="u", password="p", maxconncnt=3, tls=None
)
CONFIG = cast(Config, SimpleNamespace(cache_timeout=1.5, cache_connect_timeout=1.0, cache_pool_timeout=1.0))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the server's end of a connection."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_every_driver_with_private_names_has_an_upper_bound() -> None:
    requirements = (Path(__file__).parents[2] / "setup.cfg").read_text(encoding="utf-8")
    bounded = set(re.findall(r"^    (\S+)>=[\d.]+,<[\d.]+$", requirements, re.MULTILINE))
    assert bounded >= {"redis", "PyMySQL", "DBUtils", "urllib3"}


class TestPyMySQL:
    def test_login_uses_the_socket_it_is_given_and_reads_nothing_ahead(self, ends: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = ends
        received: list[bytes] = []
        server = threading.Thread(target=serve_mysql, args=(theirs, received), daemon=True)
        server.start()
        connection = DriverConnection(MYSQL, "set wait_timeout=20", 5, None)
        sock = connection.login(ours)
        assert sock is ours, "PyMySQL's connect(sock) no longer keeps the socket in _sock"
        assert b"\x03set wait_timeout=20" in received, "init_command is no longer sent at the login"
        sock.sendall(packet(0, b"\x03do 1"))
        assert sock.recv(100)[3] == 1, "PyMySQL has read what comes after the login"
        connection.close()
        server.join(5)
        assert received[-2:] == [b"\x03do 1", b"\x01"], "close() no longer sends COM_QUIT over the socket of the login"

    def test_discard_closes_without_com_quit(self, ends: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = ends
        received: list[bytes] = []
        server = threading.Thread(target=serve_mysql, args=(theirs, received), daemon=True)
        server.start()
        connection = DriverConnection(MYSQL, "do 0", 5, None)
        connection.login(ours)
        connection.discard()
        server.join(5)
        assert not server.is_alive(), "PyMySQL's _force_close no longer closes the socket at once"
        assert received[-1] != b"\x01", "PyMySQL's _force_close sends COM_QUIT"
        assert not connection.open

    def test_a_failed_login_closes_the_socket(self, ends: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = ends
        theirs.sendall(packet(0, b"\xff\x10\x04Too many connections"))
        with pytest.raises(pymysql.err.OperationalError, match="Too many"):
            DriverConnection(MYSQL, "do 0", 5, None).login(ours)
        assert theirs.recv(100) == b"", "PyMySQL's connect() leaves the socket open when the login fails"

    def test_a_silent_server_is_waited_for_no_longer_than_the_timeout(self, ends: tuple[socket.socket, socket.socket]) -> None:
        with pytest.raises(pymysql.err.OperationalError, match="timed out"):
            DriverConnection(MYSQL, "do 0", 0.05, None).login(ends[0])

    def test_without_tls_at_the_server_nothing_is_sent(self, ends: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = ends
        theirs.sendall(handshake(0x00088208))
        with pytest.raises(pymysql.err.OperationalError, match="TLS is required"):
            DriverConnection(MYSQL, "do 0", 5, ssl.create_default_context()).login(ours)
        assert theirs.recv(100) == b"", "PyMySQL no longer calls _request_authentication before it sends the password"

    def test_values_are_escaped_for_a_server_that_takes_backslashes(self) -> None:
        escape = DriverConnection(MYSQL, "do 0", 5, None)
        escape.server_status = 0
        assert escape.escape("it's \\") == "'it\\'s \\\\'"
        assert escape.escape(None) == "NULL"


class FakeConnection:
    """What DBUtils gets. Its cursor fails as one whose connection was lost while a statement was executed."""

    def __init__(self, log: list[str]) -> None:
        self.is_expired = False
        self.closed = False
        self.calls, self.seconds = 1, 0.5
        self.log = log

    @property
    def open(self) -> bool:
        return not self.closed

    def close(self) -> None:
        self.closed = True

    def cursor(self) -> FakeConnection:
        return self

    def execute(self, statement: str) -> None:
        self.log.append(statement)
        raise pymysql.err.OperationalError(2013, "Lost connection")

    def ping(self, *args: Any) -> None:
        self.log.append("ping")

    def rollback(self) -> None:
        self.log.append("rollback")


class TestDBUtils:
    def test_connections_are_neither_pinged_nor_reset(self) -> None:
        log: list[str] = []
        pool = DriverPool(lambda: FakeConnection(log), 2, 3)
        pooled = [pool.dedicated_connection() for _ in range(3)]
        assert len({id(one.dbapi_connection) for one in pooled}) == 3, "dbapi_connection is no longer what connect() returned"
        for one in pooled:
            one.close()
        assert log == [], "DBUtils pings or resets although it is told not to"

    def test_checkout_takes_the_last_but_one_and_expired_ones_are_closed(self) -> None:
        pool = DriverPool(lambda: FakeConnection([]), 3, 3)
        pooled = [pool.dedicated_connection() for _ in range(3)]
        first, second, third = connections = [one.dbapi_connection for one in pooled]
        for one in pooled:
            one.close()
        used = []
        for _ in range(4):
            taken = pool.dedicated_connection()
            used.append(taken.dbapi_connection)
            taken.close()
        assert used == [first, third, first, third], "PooledDB no longer takes the first item of _idle_cache"
        second.is_expired = True
        pool.dedicated_connection().close()
        assert [one.closed for one in connections] == [False, True, False], "PooledDB.cache is no longer what checks a connection in"

    def test_usage_says_how_many_are_checked_out(self) -> None:
        pool = DriverPool(lambda: FakeConnection([]), 2, 3)
        pooled = [pool.dedicated_connection() for _ in range(3)]
        assert pool.usage() == (3, 0, 3, 1.5), "PooledDB no longer connects by creator.connect()"
        pooled.pop().close()
        assert pool.usage() == (2, 1, 3, 1.5), "PooledDB no longer keeps idle connections in _idle_cache"
        for one in pooled:
            one.dbapi_connection.is_expired = True
            one.close()
        assert pool.usage()[2:] == (3, 1.5)

    def test_a_statement_that_failed_is_not_executed_again(self) -> None:
        log: list[str] = []
        pooled = DriverPool(lambda: FakeConnection(log), 1, 1).dedicated_connection()
        with pytest.raises(pymysql.err.OperationalError):
            pooled.cursor().execute("insert")
        assert log == ["insert"], "DBUtils executes statements again after errors that failures= does not name"


def answer(command: list[bytes]) -> bytes | None:
    """A Redis that loses the connection when it is asked to count."""
    name = command[0].upper()
    if name == b"INFO":
        return b"$17\r\nrun_id:0123456789\r\n"
    return None if name == b"INCR" else b"+OK\r\n"


@pytest.fixture
def fake_redis() -> Iterator[FakeRedis]:
    with FakeRedis(answer).running() as server:
        yield server


def instance(port: int) -> CacheInstance:
    return CacheInstance(name="unread", host="127.0.0.1", port=port, db=1, username="", password="", maxconncnt=2, tls=None)


class TestRedisPy:
    def test_connections_are_made_by_the_resolver_and_timed_by_the_kernel(self, fake_redis: FakeRedis) -> None:
        resolver = RecordingResolver()
        pool = CachePool(instance(fake_redis.port), CONFIG, resolver)
        assert pool.execute([("PING",), ("PING",)]) == [b"OK", b"OK"]
        (sock,) = resolver.sockets  # "redis-py no longer calls _connect, or not once"
        assert sock.gettimeout() is None, "the timeouts of Python are still set: they cost a poll for each call"
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            assert struct.unpack("@ll", sock.getsockopt(socket.SOL_SOCKET, option, 16)) == (1, 500_000)
        pool.close()

    def test_a_command_whose_connection_is_lost_is_sent_once(self, fake_redis: FakeRedis) -> None:
        pool = CachePool(instance(fake_redis.port), CONFIG, Resolver())
        with pytest.raises(StoreUnavailableError, match="closed"):
            pool.execute([("INCR", "msg_id_1")])
        assert pool.execute([("PING",)]) == [b"OK"]
        assert fake_redis.commands.count([b"INCR", b"msg_id_1"]) == 1
        assert fake_redis.connections == 2
        pool.close()

    def test_connecting_is_tried_once(self) -> None:
        tries: list[int] = []

        class Unreachable(Resolver):
            def connect(self, host: str, port: int, timeout: float) -> socket.socket:
                tries.append(port)
                raise TimeoutError("timed out")

        with pytest.raises(StoreUnavailableError):
            CachePool(instance(7), CONFIG, Unreachable()).execute([("PING",)])
        assert tries == [7], "redis-py tries again although Retry allows no retries"

    def test_our_attributes_are_none_of_the_driver(self) -> None:
        ours = RedisConnection(instance(7), CONFIG, None, Resolver(), UNTRACKED)
        theirs = redis.Connection(retry_on_timeout=False)  # type: ignore[no-untyped-call]
        names = {"outdated", "server_id", "_context", "_resolver", "_calls", "_connected", "_buffer", "_replies"}
        assert names <= set(vars(ours))
        assert names & set(dir(theirs)) == set(), "redis-py has begun to use a name of ours"

    @pytest.mark.parametrize("parser", ["hiredis", "redis-py"])
    def test_refusals_are_replies_and_a_server_that_loads_is_an_error(self, parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if parser == "hiredis":
            pytest.importorskip("hiredis")
        else:
            monkeypatch.setattr("dbproxy.stores.redis.driver.hiredis", None)
        replies = {b"GET": b"-WRONGTYPE not a string\r\n", b"HGET": b"-LOADING Redis is loading the dataset in memory\r\n"}
        with FakeRedis(lambda command: replies.get(command[0]) or answer(command)).running() as server:
            pool = CachePool(instance(server.port), CONFIG, Resolver())
            assert pool.read([("GET", "a"), ("PING",)]) == [None, b"OK"]
            with pytest.raises(StoreUnavailableError) as caught:
                pool.execute([("HGET", "a", "b")])
            assert isinstance(caught.value.__cause__, redis.BusyLoadingError), "parse_error no longer tells errors apart"
            pool.close()


class TestUrllib3:
    def test_connections_are_made_by_the_resolver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, int]] = []

        def connect(resolver: Resolver, host: str, port: int, timeout: float) -> socket.socket:
            asked.append((host, port))
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(Resolver, "connect", connect)
        for site in ("http://msfs.test:8600/", "https://[::1]/"):
            server = FileServer(site, 1, 1, 1000)
            with pytest.raises(FileServerError, match="refused"):
                server.upload(b"sound")
            server.close()
        assert asked == [("msfs.test", 8600), ("::1", 443)], "urllib3 no longer calls _new_conn, or calls it again"

    def test_the_text_of_an_error_names_no_object_of_the_library_or_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If this fails, errors of the library begin with another text than the connection in parentheses."""

        def refuse(self: Resolver, host: str, port: int, timeout: float) -> socket.socket:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(Resolver, "connect", refuse)
        for site in ("http://msfs.invalid:1/", "https://msfs.invalid:1/"):
            server = FileServer(site, 1, 1, 1000)
            with pytest.raises(FileServerError) as caught:
                server.upload(b"sound")
            server.close()
            assert str(caught.value).startswith(f"POST {site} failed: ")
            assert "Connection(" not in str(caught.value)
            assert "Name or service not known" in str(caught.value)
