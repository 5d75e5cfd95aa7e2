"""Servers that nobody uses are asked all the same, and a replica how far it is behind; with two real servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest
from scraping import scrape

from dbproxy.errors import StatementError
from dbproxy.ops.backend_watch import BackendWatch
from dbproxy.stores.mysql import replication_lag
from dbproxy.stores.pools import AnyPool
from dbproxy.testing import InProcessProxy, Stack
from dbproxy.testing.servers import PrivateMariaDB
from dbproxy.testing.waiting import eventually


@pytest.fixture
def watch(dbproxy_proxy: InProcessProxy) -> BackendWatch:
    return BackendWatch(dbproxy_proxy.application)


@pytest.fixture(scope="module")
def replica() -> Iterator[PrivateMariaDB]:
    with PrivateMariaDB(options=("--server-id=2", "--log-bin=bin")) as server:
        yield server


def run(server: PrivateMariaDB, *statements: str) -> None:
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def follow(replica: PrivateMariaDB, source: Stack) -> None:
    account = f"{{0}}host='127.0.0.1',{{0}}port={source.mariadb.port},{{0}}user='teamtalk',{{0}}password='teamtalk'"
    if replica.is_mysql:
        (status,) = source.rows("show binary log status")
        position = f"source_log_file='{status['File']}',source_log_pos={status['Position']},get_source_public_key=1"
        run(replica, f"change replication source to {account.format('source_')},{position}", "start replica")
    else:
        (now,) = source.rows("select @@gtid_binlog_pos as position")
        run(replica, f"set global gtid_slave_pos='{now['position']}'")
        run(replica, f"change master to {account.format('master_')},master_use_gtid=slave_pos", "start replica")


def works_after_a_round(watch: BackendWatch, pool: AnyPool) -> bool:
    watch.round()
    return pool.report().works


def lag_after_a_round(watch: BackendWatch) -> float:
    watch.round()
    return -1.0 if watch.lag is None else watch.lag


def test_pools_that_nobody_uses_are_asked(dbproxy_proxy: InProcessProxy, watch: BackendWatch) -> None:
    pool = next(pool for pool in dbproxy_proxy.application.observed.pools if pool.name == "token")
    before = pool.report().calls
    watch.round()  # it has been used since the start
    watch.round()
    assert pool.report().calls > before


def test_a_server_that_went_away_and_came_back_is_noticed(
    dbproxy_stack: Stack, dbproxy_proxy: InProcessProxy, watch: BackendWatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pool = next(pool for pool in dbproxy_proxy.application.observed.pools if pool.name == "token")
    watch.round()
    dbproxy_stack.redis_server.kill()
    try:
        watch.round()
        assert not pool.report().works
        watch.round()
    finally:
        dbproxy_stack.reset()
    assert eventually(lambda: works_after_a_round(watch, pool), True)
    said = [record.getMessage() for record in caplog.records if record.name == "dbproxy.ops.backend_watch"]
    assert [line.partition(":")[0] for line in said if "instance token" in line] == ["no answer to a check", "answers again"]


def test_one_server_for_both_has_no_lag(watch: BackendWatch) -> None:
    watch.round()
    assert watch.lag is None


def test_a_replica_says_how_far_it_is_behind(replica: PrivateMariaDB) -> None:
    keys = {"teamtalk_slave_port": replica.port, "AdminListen": "127.0.0.1:0"}
    with Stack(mysql_options=("--server-id=1", "--log-bin=bin", "--binlog-format=ROW")) as source:
        follow(replica, source)
        try:
            with InProcessProxy(source, keys) as proxy:
                watch = BackendWatch(proxy.application)
                assert eventually(lambda: lag_after_a_round(watch), 0.0, timeout=30) == 0.0
                address = proxy.application.admin_address
                assert address is not None
                name = ("dbproxy_replication_lag_seconds", frozenset[tuple[str, str]]())
                assert eventually(lambda: scrape(address).get(name, -1.0), 0.0, timeout=30) == 0.0
                run(replica, "stop replica")
                watch.round()
                assert watch.lag is None
        finally:
            run(replica, "stop replica", "reset replica all")


def test_an_account_that_may_not_ask_is_told_once(stack: Stack, replica: PrivateMariaDB, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(replica, "create user reader@127.0.0.1 identified by 'p'", "grant select,insert on teamtalk.* to reader@127.0.0.1")
    keys = {"teamtalk_slave_port": replica.port, "teamtalk_slave_username": "reader", "teamtalk_slave_password": "p"}
    try:
        with InProcessProxy(stack, keys) as proxy:
            watch = BackendWatch(proxy.application)
            watch.round()
            watch.round()
            assert watch.lag is None
            with pytest.raises(StatementError):
                replication_lag(proxy.application.observed.slave)
    finally:
        run(replica, "drop user reader@127.0.0.1")
    assert len([record for record in caplog.records if "how far it is behind" in record.getMessage()]) == 1
