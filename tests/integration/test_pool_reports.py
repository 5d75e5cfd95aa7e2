"""What the pools report about their connections and failures, with real servers and a link between that breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dbproxy.config import Config, load_config
from dbproxy.errors import StatementError, StoreError, StoreUnavailableError
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.redis import CachePool
from dbproxy.stores.resolver import Resolver
from dbproxy.testing import Stack
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.waiting import eventually
from dbproxy.work.batch import MYSQL, REDIS
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.worker_calls import WorkerCalls

LIMITS: dict[str, object] = {
    "DBTimeout": 2,
    "DBLockTimeout": 1,
    "DBPoolTimeout": 1,
    "CacheTimeout": 0.3,
    "CachePoolTimeout": 0.1,
    "DBConnectTimeout": 1,
    "CacheConnectTimeout": 1,
    "teamtalk_master_maxconncnt": 2,
    "unread_maxconncnt": 2,
}


@pytest.fixture
def mysql_link(dbproxy_stack: Stack) -> Iterator[FaultyLink]:
    with FaultyLink(dbproxy_stack.mariadb.address) as link:
        yield link


@pytest.fixture
def redis_link(dbproxy_stack: Stack) -> Iterator[FaultyLink]:
    with FaultyLink(dbproxy_stack.redis_server.address) as link:
        yield link


@pytest.fixture
def config(dbproxy_stack: Stack, mysql_link: FaultyLink, redis_link: FaultyLink) -> Config:
    ports = {"teamtalk_master_port": mysql_link.port, "unread_port": redis_link.port}
    return load_config(dbproxy_stack.write_config(overrides={**LIMITS, **ports}))


@pytest.fixture
def calls() -> WorkerCalls:
    return WorkerCalls(ResponseDeque(lambda: None))


@pytest.fixture
def database(config: Config, calls: WorkerCalls) -> Iterator[DBPool]:
    pool = DBPool(config.db_instances["teamtalk_master"], config, Resolver(), calls.backend(MYSQL, str))
    pool.open()
    yield pool
    pool.close()


@pytest.fixture
def cache(config: Config, calls: WorkerCalls) -> Iterator[CachePool]:
    pool = CachePool(config.cache_instances["unread"], config, Resolver(), calls.backend(REDIS, str))
    pool.open()
    yield pool
    pool.close()


Either = pytest.mark.parametrize("kind", ["database", "cache"])


@pytest.fixture
def pool(request: pytest.FixtureRequest, kind: str) -> DBPool | CachePool:
    chosen: DBPool | CachePool = request.getfixturevalue(kind)
    return chosen


@pytest.fixture
def link(request: pytest.FixtureRequest, kind: str) -> FaultyLink:
    chosen: FaultyLink = request.getfixturevalue("mysql_link" if kind == "database" else "redis_link")
    return chosen


def test_mysql_connections_are_in_use_and_idle_again(database: DBPool, mysql_link: FaultyLink) -> None:
    before = database.report()
    assert (before.kind, before.name, before.server) == ("mysql", "teamtalk_master", f"127.0.0.1:{mysql_link.port}")
    assert (before.in_use, before.idle, before.limit, before.connects) == (0, 2, 2, 2)
    with database.connection() as connection:
        connection.select("select 1")
        during = database.report()
        assert (during.in_use, during.idle) == (1, 1)
        assert during.calls == before.calls + 1
        assert during.seconds > before.seconds
    after = database.report()
    assert (after.in_use, after.idle, after.works, after.last_failure) == (0, 2, True, None)
    assert not any(after.failures.values())


def test_redis_connections_are_in_use_and_idle_again(cache: CachePool) -> None:
    before = cache.report()
    assert (before.kind, before.name, before.in_use, before.idle, before.limit, before.connects) == ("redis", "unread", 0, 1, 2, 1)
    cache.execute([("PING",), ("PING",)])
    after = cache.report()
    assert (after.calls, after.connects) == (before.calls + 1, 1)
    assert after.seconds > before.seconds


def test_the_numbers_of_expired_connections_are_kept(database: DBPool) -> None:
    with database.connection() as first, database.connection() as second:
        for connection in (first, second):
            connection.execute("do 1")
    before = database.report()
    for connection in (first, second):
        connection._login.max_idle = -1
    with database.connection():
        pass
    after = database.report()
    assert after.idle < before.idle
    assert (after.calls, after.seconds) == (before.calls, before.seconds)


@Either
def test_a_connection_that_is_closed_is_not_idle(pool: DBPool | CachePool) -> None:
    pool.close()
    assert (pool.report().in_use, pool.report().idle) == (0, 0)


@Either
def test_a_server_that_does_not_answer_in_time(pool: DBPool | CachePool, link: FaultyLink) -> None:
    link.blackhole()
    with pytest.raises(StoreUnavailableError):
        pool.check()
    report = pool.report()
    assert report.failures["timeout"] == 1
    assert not report.works
    assert report.last_failure is not None
    assert str(pool) in report.last_failure
    link.restore()
    link.cut_all()
    assert eventually(lambda: _checks(pool), True)
    assert pool.report().works


@Either
def test_a_server_that_cannot_be_reached(pool: DBPool | CachePool, dbproxy_stack: Stack, kind: str) -> None:
    server = dbproxy_stack.mariadb if kind == "database" else dbproxy_stack.redis_server
    server.kill()
    try:
        assert not _checks(pool)
        assert not _checks(pool)
        failures = pool.report().failures
        assert failures["connect"] + failures["lost"] >= 2
        assert not pool.report().works
    finally:
        dbproxy_stack.reset()  # starts it again
    assert eventually(lambda: _checks(pool), True)
    assert pool.report().works


def test_a_connection_that_breaks_is_lost(database: DBPool, mysql_link: FaultyLink) -> None:
    mysql_link.cut_at(b"select 'second'", pass_on=True)

    def two_statements(connection: DBConn) -> None:
        connection.select("select 1")
        connection.select("select 'second'")

    with pytest.raises(StoreUnavailableError):
        database.write(two_statements)
    assert database.report().failures["lost"] == 1
    assert not database.report().works


def test_a_refused_statement_is_no_failure_of_the_server(database: DBPool) -> None:
    with pytest.raises(StatementError), database.connection() as connection:
        connection.select("select nothing from no_such_table")
    report = database.report()
    assert report.failures["refused"] == 1
    assert report.works
    assert "no_such_table" in (report.last_failure or "")


def test_the_values_of_a_refused_statement_are_not_shown(database: DBPool) -> None:
    with pytest.raises(StatementError), database.connection() as connection:
        connection.execute("insert into IMUser(id,name) values(1,%s),(1,'x')", ("very private",))
    assert "private" not in (database.report().last_failure or "private")


def test_a_refused_command_is_no_failure_of_the_server(cache: CachePool) -> None:
    with pytest.raises(StoreUnavailableError):
        cache.execute([("SELECT", "no number")])
    report = cache.report()
    assert report.failures["refused"] == 1
    assert report.works


def test_waiting_for_a_free_connection_is_counted(database: DBPool) -> None:
    with database.connection(), database.connection():
        with pytest.raises(StoreUnavailableError, match="no connection became free"):
            database.check()
        waiter = threading.Thread(target=_checks, args=(database,))
        waiter.start()
        assert eventually(lambda: database.report().waiting, 1) == 1
    waiter.join(10)
    report = database.report()
    assert (report.waiting, report.waits) == (0, 2)
    assert report.wait_seconds >= 0.1
    assert report.failures["no_connection"] >= 1
    assert report.works


def _checks(pool: DBPool | CachePool) -> bool:
    try:
        pool.check()
    except StoreError:
        return False
    return True
