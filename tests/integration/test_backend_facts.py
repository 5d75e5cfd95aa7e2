"""What the proxy says of its servers at the start, after a change of servers, in its status and in its metrics; with real servers."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from reloading import ReloadingProxy
from scraping import scrape

from dbproxy.config import load_config
from dbproxy.stores.backend_facts import BackendFacts
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.redis import CacheManager
from dbproxy.testing import InProcessProxy, PrivateRedis, Stack
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually

pytestmark = [pytest.mark.watchdog(60), pytest.mark.usefixtures("stack")]

TOLD = "dbproxy.stores.backend_facts"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, TOLD)
    return caplog


def lines(told: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in told.records if record.name == TOLD and record.levelno == level]


@contextmanager
def stores(stack: Stack, **overrides: object) -> Iterator[BackendFacts]:
    """What a proxy with these keys knows of its servers; nobody has asked yet."""
    config = load_config(stack.write_config(overrides=overrides))
    databases, caches = DBManager(config), CacheManager(config)
    try:
        databases.open()
        caches.open()
        facts = BackendFacts(databases, caches)
        yield facts
        facts.stop()
    finally:
        databases.close()
        caches.close()


def asked(facts: BackendFacts) -> dict[str, str]:
    """Kind → topology, after the servers have been asked."""
    facts.check()
    facts.wait(20)
    return {known.kind: known.topology for known in facts.known}


def test_a_start_tells_each_server_once_with_its_pools(told: pytest.LogCaptureFixture, stack: Stack) -> None:
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy:
        assert eventually(lambda: len(proxy.application.observed.backends.known), 2, 20) == 2
    said = lines(told)
    product = "MySQL" if stack.mariadb.is_mysql else "MariaDB"
    (database,) = [line for line in said if line.startswith(product)]
    assert f"at 127.0.0.1:{stack.mariadb.port} (teamtalk_master, teamtalk_slave): single server" in database
    (cache,) = [line for line in said if f"at 127.0.0.1:{stack.redis_server.port} ({', '.join(POOLS)}): single master" in line]
    assert cache.startswith(("Redis", "Valkey"))
    assert any("not promised here: no persistence" in line for line in said)
    assert not [line for line in lines(told, logging.WARNING) if line.startswith("Redis")]


def test_what_breaks_a_promise_is_a_warning(told: pytest.LogCaptureFixture, stack: Stack) -> None:
    stack.rows("set global innodb_flush_log_at_trx_commit=2")
    with stack.redis() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with stores(stack) as facts:
            asked(facts)
    finally:
        stack.rows("set global innodb_flush_log_at_trx_commit=1")
        with stack.redis() as client:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
    warnings = lines(told, logging.WARNING)
    assert any("innodb_flush_log_at_trx_commit is 2" in line for line in warnings)
    assert any("maxmemory-policy is allkeys-lru" in line for line in warnings)


def test_accounts_without_privileges_are_enough(told: pytest.LogCaptureFixture, stack: Stack) -> None:
    stack.rows("create user modest@127.0.0.1 identified by 'zqx-secret'")
    stack.rows("grant select on teamtalk.IMUser to modest@127.0.0.1")
    with stack.redis() as client:
        client.execute_command("ACL", "SETUSER", "modest", "reset", "on", ">zqx-secret", "+ping", "+select", "~*")
    pools = ("teamtalk_master", "teamtalk_slave", *POOLS)
    keys = {f"{pool}_username": "modest" for pool in pools} | {f"{pool}_password": "zqx-secret" for pool in pools}
    try:
        with stores(stack, **keys) as facts:
            assert asked(facts) == {"mysql": "single", "redis": "unknown"}
    finally:
        stack.rows("drop user modest@127.0.0.1")
        with stack.redis() as client:
            client.execute_command("ACL", "DELUSER", "modest")
    (warning,) = [line for line in lines(told, logging.WARNING) if "INFO" in line]
    assert "a restart with old data goes unnoticed" in warning


def test_servers_are_asked_once_and_again_when_a_pool_leads_elsewhere(stack: Stack) -> None:
    with stores(stack) as facts, stack.redis() as client:
        asked(facts)
        before = client.info("commandstats")["cmdstat_config|get"]["calls"]
        asked(facts)
        assert client.info("commandstats")["cmdstat_config|get"]["calls"] == before


def test_after_a_change_of_servers_they_are_asked_once_more(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.stores.backend_facts.SETTLE", 0.0)
    with stores(stack) as facts, stack.redis() as client:

        def asked_times() -> int:
            asked(facts)
            return int(client.info("commandstats")["cmdstat_config|get"]["calls"])

        before = asked_times()
        facts._caches.token.restarts += 1
        after = [asked_times() for _ in range(4)]
    assert [times - before for times in after] == [10, 20, 20, 20]


def test_a_server_that_hangs_hides_no_other_and_is_told_when_it_answers(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.stores.backend_facts.RETRY", 0.0)
    with stores(stack, CacheTimeout=1, CachePoolTimeout=1, CacheConnectTimeout=1) as facts:
        stack.redis_server.freeze()
        try:
            assert asked(facts) == {"mysql": "single"}
        finally:
            stack.redis_server.thaw()
        assert eventually(lambda: asked(facts), {"mysql": "single", "redis": "single"}, 20)


def test_a_reload_that_moves_pools_tells_the_new_server(stack: Stack) -> None:
    with PrivateRedis() as other, ReloadingProxy(stack) as proxy:
        before = proxy.log().count("(teamtalk_master, teamtalk_slave): single server")
        stack.write_config(proxy.config_path, {**proxy.keys, "token_port": other.port, "ListenPort": proxy.port})
        proxy.signal(signal.SIGHUP)
        assert eventually(lambda: f"at 127.0.0.1:{other.port} (token): single master" in proxy.log(), True, 20)
        assert proxy.log().count("(teamtalk_master, teamtalk_slave): single server") == before


@pytest.mark.dbproxy(AdminListen="127.0.0.1:0")
def test_status_and_metrics_have_the_servers(dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    address = dbproxy_proxy.application.admin_address
    assert address is not None
    assert eventually(lambda: len(dbproxy_proxy.application.observed.backends.known), 2, 20) == 2
    samples = {dict(labels)["pool"]: dict(labels) for name, labels in scrape(address) if name == "dbproxy_backend_info"}
    assert set(samples) == {"teamtalk_master", "teamtalk_slave", *POOLS}
    assert samples["teamtalk_master"]["server"] == f"127.0.0.1:{stack.mariadb.port}"
    assert (samples["unread"]["kind"], samples["unread"]["topology"]) == ("redis", "single")
