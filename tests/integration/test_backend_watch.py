"""Servers that nobody uses are asked all the same."""

from __future__ import annotations

import logging

import pytest

from dbproxy.ops.backend_watch import BackendWatch
from dbproxy.stores.pools import BackendPool
from dbproxy.testing import InProcessProxy, Stack
from dbproxy.testing.waiting import eventually


@pytest.fixture
def watch(dbproxy_proxy: InProcessProxy) -> BackendWatch:
    return BackendWatch(dbproxy_proxy.application)


def works_after_a_round(watch: BackendWatch, pool: BackendPool) -> bool:
    watch.round()
    return pool.report().works


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
