"""What the start, the doctor and the audit say of a Galera cluster, and how they treat the lock table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from examined import Examined, examined

from dbproxy.audit.auditor import audit
from dbproxy.audit.walk import AuditBackends
from dbproxy.config import load_config
from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql import check_databases
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.mysql.schema import create_statement
from dbproxy.stores.resolver import Resolver
from dbproxy.testing import GaleraStack, ProxyProcess, seed
from dbproxy.testing.servers import SCHEMA

MASTER = "MySQL teamtalk_master"


def look(stack: GaleraStack) -> Examined:
    return examined(check_databases, stack)


@contextmanager
def without_lock_table(stack: GaleraStack) -> Iterator[None]:
    stack.rows("drop table if exists IMProxyLock")
    try:
        yield
    finally:
        stack.rows(create_statement(SCHEMA.read_text(encoding="utf-8"), "IMProxyLock"))


def test_a_galera_node_without_lock_table_says_what_is_not_promised(dbproxy_galera: GaleraStack) -> None:
    with without_lock_table(dbproxy_galera):
        found = look(dbproxy_galera)
    finding = next(finding for finding in found.of(Kind.GALERA, MASTER) if "GET_LOCK" in finding.what)
    assert finding.level is Level.WARNING
    assert "same node" in finding.remedy


def test_a_galera_cluster_is_examined(dbproxy_galera: GaleraStack) -> None:
    findings = list(look(dbproxy_galera).of(Kind.GALERA, MASTER))
    assert [finding.what for finding in findings if finding.level is Level.OK and "IMProxyLock" in finding.what]
    assert [finding.what for finding in findings if finding.level is Level.WARNING] == [
        "the cluster has 2 nodes: if the network divides it into halves, neither has a majority, and all refuse queries. So does the one "
        "that is left when the other crashes"
    ]


def test_the_first_proxy_makes_the_lock_table_and_the_start_says_what_it_found(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    with without_lock_table(dbproxy_galera), ProxyProcess(dbproxy_galera, dbproxy_galera.on(0)) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        assert [row["n"] for row in dbproxy_galera.rows("select n from IMProxyLock")] != []
        log = proxy.log()
    assert "made the table IMProxyLock" in log
    assert "Galera node" in log
    assert "WARNING" not in log


def test_a_proxy_that_may_not_make_the_lock_table_warns_and_works_on_one_node(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    dbproxy_galera.rows("create user limited@127.0.0.1 identified by 'secret'")
    dbproxy_galera.rows("grant select, insert, update, delete on teamtalk.* to limited@127.0.0.1")
    account = (("username", "limited"), ("password", "secret"))
    keys = {f"teamtalk_{name}_{end}": value for name in ("master", "slave") for end, value in account}
    try:
        with without_lock_table(dbproxy_galera), ProxyProcess(dbproxy_galera, keys) as proxy, proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
            assert "its table IMProxyLock is missing and could not be made" in proxy.log()
    finally:
        dbproxy_galera.rows("drop user limited@127.0.0.1")


def test_the_audit_finds_and_repairs_on_a_cluster(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    seed.group(dbproxy_galera, 9, [1, 2, 3], in_redis=False)
    seed.redis_key(dbproxy_galera, "group_member_9", {"1": "1700000000", "7": "1700000000"})
    seed.relation(dbproxy_galera, 1, 2)
    seed.relation(dbproxy_galera, 1, 2)
    with AuditBackends(load_config(dbproxy_galera.write_config()), recheck_delay=0) as backends:
        found = audit(backends, repair=True).counts
        assert {"member-missing", "duplicate-relation"} <= set(found)
        assert set(audit(backends, repair=False).counts) == {"members-lost"}  # a proxy restores them


def test_a_connection_that_was_made_before_its_node_was_ready_reads_what_others_commit(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    config = load_config(dbproxy_galera.write_config(overrides=dbproxy_galera.on(1)))
    pool = DBPool(config.db_instances["teamtalk_slave"], config, Resolver())
    try:
        dbproxy_galera.isolate(1)
        pool.open()
        dbproxy_galera.repair()
        connects = pool.report().connects
        with pool.connection() as connection:
            assert connection.select("select @@session.wsrep_sync_wait") == [(b"1",)]
        assert pool.report().connects == connects
    finally:
        pool.close()
        dbproxy_galera.repair()
