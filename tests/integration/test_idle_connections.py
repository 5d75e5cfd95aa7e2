"""Idle connections to the database: the server ends them after a while, and no request may notice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from dbproxy.config import load_config
from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.mysql import DBManager, DBPool
from dbproxy.stores.mysql import connection as connection_module
from dbproxy.stores.mysql.server_connection_id import idle_timeout
from dbproxy.testing import ProxyProcess, Stack, seed
from dbproxy.testing.waiting import eventually

KEYS: dict[str, object] = {"CachePoolTimeout": 0.5, "CacheConnectTimeout": 0.5, "CacheTimeout": 0.5, "SyncInterval": 3600}
"""The shorter the waits for Redis, the sooner the server ends what is idle."""

IDLE = 4
"""That many seconds."""

ACCOUNT = {f"{pool}_{key}": "idler" for pool in ("teamtalk_master", "teamtalk_slave") for key in ("username", "password")}

pytestmark = pytest.mark.watchdog(60)


@pytest.fixture
def stack(dbproxy_stack: Stack) -> Iterator[Stack]:
    """With users, and an account whose connections can be counted."""
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    dbproxy_stack.rows("create user idler@127.0.0.1 identified by 'idler'")
    dbproxy_stack.rows("grant all on teamtalk.* to idler@127.0.0.1")
    yield dbproxy_stack
    dbproxy_stack.rows("drop user idler@127.0.0.1")


def opened(stack: Stack, overrides: dict[str, object]) -> Iterator[DBPool]:
    databases = DBManager(load_config(stack.write_config(overrides={**KEYS, **ACCOUNT, **overrides})))
    databases.master.open()
    yield databases.master
    databases.close()


@pytest.fixture
def pool(stack: Stack) -> Iterator[DBPool]:
    yield from opened(stack, {})


@pytest.fixture
def single(stack: Stack) -> Iterator[DBPool]:
    """A pool of one connection."""
    yield from opened(stack, {"teamtalk_master_maxconncnt": 1})


def connections(stack: Stack) -> int:
    """How many connections the server has of the account."""
    return int(str(stack.rows("select count(*) as n from information_schema.processlist where user='idler'")[0]["n"]))


def counter(stack: Stack, name: str) -> int:
    return int(str(stack.rows(f"show global status like '{name}'")[0]["Value"]))


def test_wait_timeout_is_longer_than_the_longest_wait_for_redis(stack: Stack, pool: DBPool) -> None:
    assert idle_timeout(load_config(stack.write_config())) == 20  # the default
    assert idle_timeout(load_config(stack.write_config(overrides=KEYS))) == IDLE
    assert pool.select("select @@wait_timeout") == [(b"%d" % IDLE,)]


def test_requests_after_idle_hours_succeed_and_nothing_is_logged(stack: Stack) -> None:
    with ProxyProcess(stack, {**KEYS, **ACCOUNT}) as proxy, proxy.client() as client:
        for _ in range(2):
            assert client.send_message(1, 2).msg_id
            assert client.login("alice").result_code == 0
            assert connections(stack) >= 2
            assert eventually(lambda: connections(stack), 0, timeout=3 * IDLE) == 0
        assert client.change_sign_info(1, "awake").result_code == 0  # one statement, which is not begun again if it might have happened
        client.add_offline_file(1, 2, "task")
        assert client.create_group(1, [1, 2]).result_code == 0
        assert client.unread(2).total_cnt == 2
    assert stack.rows("select count(*) as n from IMTransmitFile") == [{"n": 1}]
    assert [line for line in proxy.log().splitlines() if " INFO " not in line] == []


def test_two_connections_stay_and_expired_ones_are_closed_with_com_quit(stack: Stack, pool: DBPool) -> None:
    before = counter(stack, "Aborted_clients")
    with contextlib.ExitStack() as exits:
        for _ in range(6):
            exits.enter_context(pool.connection()).execute("do 1")
    assert connections(stack) == 6
    used: set[tuple[object, ...]] = set()

    def remaining() -> int:
        used.update(pool.select("select connection_id()"))
        return connections(stack)

    assert eventually(remaining, 2, timeout=3 * IDLE) == 2
    assert len(used) == 2
    assert counter(stack, "Aborted_clients") == before


@pytest.mark.parametrize("noticed", [True, False], ids=["before it is used", "while it is used"])
def test_a_first_statement_on_an_ended_connection_happens_once(
    stack: Stack, single: DBPool, noticed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may end a connection at the moment at which we send: what it has not read is sent again, though it writes."""
    with single.connection() as connection:
        connection.execute("set wait_timeout=1")
        former = connection.thread_id()

    def ended() -> bool:
        return not stack.rows(f"select id from information_schema.processlist where id={former}")

    with single.connection() as connection:
        assert connection.thread_id() == former
        assert eventually(ended, True, timeout=10)
        if not noticed:
            monkeypatch.setattr(connection_module, "still_connected", lambda sock: True)
        assert connection.execute("insert into IMAudio (fromId,toId,created) values (1,2,3)") == 1
        assert connection.server_connection_id[0] == connection.thread_id() != former
    assert stack.rows("select count(*) as n from IMAudio") == [{"n": 1}]


def test_a_later_statement_on_an_ended_connection_fails(stack: Stack, pool: DBPool) -> None:
    """What came before it, a transaction or a lock, is gone."""

    def transaction() -> None:
        with pool.connection() as connection:
            connection.execute("begin")
            stack.rows(f"kill {connection.thread_id()}")
            connection.execute("insert into IMAudio (fromId,toId,created) values (1,2,3)")
            connection.execute("commit")

    with pytest.raises(StoreUnavailableError):
        transaction()
    assert stack.rows("select count(*) as n from IMAudio") == [{"n": 0}]
