"""Ending lost connections on the server: a session that may be committing is left alone, any other one is ended with its locks."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pymysql
import pytest

from dbproxy.config import load_config
from dbproxy.stores.mysql import DBManager, DBPool, end_session
from dbproxy.testing import PrivateMariaDB, Stack
from dbproxy.testing.waiting import eventually


@pytest.fixture(scope="module", params=["performance schema off", "performance schema on"])
def server(request: pytest.FixtureRequest, dbproxy_stack: Stack) -> Iterator[PrivateMariaDB]:
    """MySQL shows its sessions elsewhere if the performance schema is on."""
    if request.param == "performance schema off":
        dbproxy_stack.reset()
        yield dbproxy_stack.mariadb
        return
    with PrivateMariaDB(options=("--performance-schema=ON",)) as server:
        yield server


@pytest.fixture
def pool(dbproxy_stack: Stack, server: PrivateMariaDB) -> Iterator[DBPool]:
    databases = DBManager(load_config(dbproxy_stack.write_config(overrides={"teamtalk_master_port": server.port})))
    yield databases.master
    databases.close()


@pytest.fixture
def locked(server: PrivateMariaDB) -> Iterator[None]:
    """Somebody else's transaction holds a row of IMAudio, for as long as the test runs."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("replace into IMAudio (id,fromId,toId,created) values (7,1,2,3)")
        connection.begin()
        cursor.execute("select id from IMAudio where id=7 for update")
        yield
        connection.rollback()


def runs(pool: DBPool, session: int, statement: str) -> bool:
    return bool(pool.select("select 1 from information_schema.processlist where id=%s and info like %s", (session, statement)))


def test_an_idle_session_in_a_transaction_is_ended(server: PrivateMariaDB, pool: DBPool) -> None:
    with pool.connection() as lost, pool.connection() as connection:
        lost.execute("begin")
        lost.execute("select get_lock('dbproxy.test',0)")
        assert end_session(connection, lost.server_connection_id)
        assert connection.select("select get_lock('dbproxy.test',5)") == [(b"1",)]
        assert end_session(connection, lost.server_connection_id)  # it has gone already
        shown = server.is_mysql and connection.select("select @@performance_schema") == [(b"1",)]
        assert connection.has_performance_schema == shown
        if shown:
            assert end_session(connection, lost.server_connection_id)
            assert connection.select("show warnings") == []  # none about a table that is going to go


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize(
    ("statement", "ended"), [("select id from IMAudio where id=7 for update", True), ("update IMAudio set created=4 where id=7", False)]
)
def test_only_sessions_that_cannot_be_committing_are_ended(pool: DBPool, statement: str, ended: bool) -> None:
    """A single statement commits when it is done, and nobody knows whether it is when the order to end it arrives."""
    failed = threading.Event()

    def work() -> None:
        try:
            lost.execute(statement)
        except pymysql.err.Error:
            failed.set()

    with pool.connection() as lost, pool.connection() as connection:
        lost.execute("set innodb_lock_wait_timeout=3")
        worker = threading.Thread(target=work)
        worker.start()
        assert eventually(lambda: runs(pool, lost.thread_id(), statement), True)
        assert end_session(connection, lost.server_connection_id) == ended
        assert failed.wait(1) == ended
        worker.join(10)


def test_a_session_from_another_host_is_not_ended(pool: DBPool) -> None:
    with pool.connection() as other, pool.connection() as connection:
        session = other.server_connection_id
        assert end_session(connection, session._replace(host=f"{session.host}1"))
        assert other.select("select 1") == [(b"1",)]


def test_a_session_of_another_server_is_not_ended(pool: DBPool) -> None:
    """After a failover a connection of the former server may have the number and the port that a connection here has."""
    with pool.connection() as other, pool.connection() as connection:
        assert other.server_connection_id.server
        assert end_session(connection, other.server_connection_id._replace(server="another"))
        assert other.select("select 1") == [(b"1",)]
