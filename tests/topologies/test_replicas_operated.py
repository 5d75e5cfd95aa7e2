"""Replicas under operation: reloads, upgrades, what operators see, accounts with few privileges, servers without GTIDs, Galera."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack

import pytest
from control import ctl
from fresh_reads import BACK, reads_of, states, written_and_not_seen
from reloading import ReloadingProxy
from scraping import scrape

from dbproxy.config import load_config
from dbproxy.doctor import examine
from dbproxy.doctor.kinds import Kind
from dbproxy.testing import GaleraStack, InProcessProxy, PrivateMariaDB, ProxyProcess, ReplicaStack, seed
from dbproxy.testing.waiting import eventually, poll

pytestmark = [pytest.mark.long, pytest.mark.watchdog(180)]

KEYS = {"StopGrace": 1}


@pytest.fixture
def replicated(dbproxy_replicas: ReplicaStack) -> ReplicaStack:
    dbproxy_replicas.reset()
    seed.users(dbproxy_replicas, "alice", "bob")
    dbproxy_replicas.wait_for_replicas()
    return dbproxy_replicas


def listed(proxy: ProxyProcess) -> dict[str, str]:
    """Server → state, as dbproxy-ctl shows it."""
    found = json.loads(ctl(proxy.directory, "--json", "pools").out)
    return {replica["server"]: replica["state"] for replica in found["replication"]["replicas"]}


def test_operators_see_the_replicas(replicated: ReplicaStack) -> None:
    first, second = (f"127.0.0.1:{replica.port}" for replica in replicated.replicas)
    with ProxyProcess(replicated, {**KEYS, "AdminListen": "127.0.0.1:0"}) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        assert listed(proxy) == {first: "used", second: "used"}
        replicated.stop_replication(1)
        assert eventually(lambda: listed(proxy)[second], "left_out", BACK) == "left_out"
        text = ctl(proxy.directory, "pools").out
        assert "is stopped" in text
        assert "reads that the master took: " in text
        assert f"{second} left out" in ctl(proxy.directory, "status").out


def test_metrics_of_replicas(replicated: ReplicaStack) -> None:
    server = f"127.0.0.1:{replicated.replicas[0].port}"
    with InProcessProxy(replicated, {**KEYS, "AdminListen": "127.0.0.1:0"}) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        address = proxy.application.admin_address
        assert address is not None
        found = scrape(address)
        labels = frozenset({("server", server)})
        assert found["dbproxy_replica_used", labels] == 1
        assert found["dbproxy_replica_reads_total", labels] > 0
        assert found["dbproxy_replication_lag_seconds", labels] < 5
        assert ("dbproxy_replica_master_reads_total", frozenset({("why", "left_out")})) in found
        replicated.stop_replication(0)
        assert eventually(lambda: scrape(address)["dbproxy_replica_used", labels], 0.0, BACK) == 0.0


def test_a_reload_adds_and_removes_replicas(replicated: ReplicaStack) -> None:
    first, second = (f"127.0.0.1:{replica.port}" for replica in replicated.replicas)
    primary = f"127.0.0.1:{replicated.primary.port}"
    with ReloadingProxy(replicated, {**KEYS, "teamtalk_slave_host": primary}) as proxy, proxy.client() as client:
        for hosts in (first, f"{first},{second}", second, primary, f"{primary},{second}"):
            assert "teamtalk_slave_host" in proxy.reload({"teamtalk_slave_host": hosts})
            assert [what for _ in range(5) for what in written_and_not_seen(client, client)] == []
            assert sorted(listed(proxy)) == ([] if hosts == primary else sorted(hosts.split(",")))
        assert "MaxReplicaLag" in proxy.reload({"teamtalk_slave_host": f"{primary},{second}", "MaxReplicaLag": 1})
        replicated.delay(1, 60)
        assert written_and_not_seen(client, client) == []
        assert eventually(lambda: listed(proxy)[second], "left_out", BACK) == "left_out"


def test_an_upgrade_goes_on_reading_from_replicas(replicated: ReplicaStack) -> None:
    with ProxyProcess(replicated, KEYS) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        proxy.upgrade()
        assert [what for _ in range(3) for what in written_and_not_seen(client, client)] == []
        assert set(listed(proxy).values()) == {"used"}


def test_an_account_that_may_ask_for_nothing_notices_a_stopped_replica_by_its_lag(replicated: ReplicaStack) -> None:
    for server in replicated.servers:
        server.run_as_root("create user plain@127.0.0.1 identified by 'p'", "grant select on teamtalk.* to plain@127.0.0.1")
    keys = {**KEYS, "teamtalk_slave_username": "plain", "teamtalk_slave_password": "p", "MaxReplicaLag": 1}
    try:
        with InProcessProxy(replicated, keys) as proxy, proxy.client() as client:
            assert states(proxy) == ["used", "used"]
            replicated.stop_replication(0)
            assert [what for _ in range(3) for what in written_and_not_seen(client, client)] == []
            assert eventually(lambda: states(proxy), ["left_out", "used"], BACK) == ["left_out", "used"]
            replicated.start_replication(0)
            assert eventually(lambda: states(proxy), ["used", "used"], BACK) == ["used", "used"]
    finally:
        for server in replicated.servers:
            server.run_as_root("drop user plain@127.0.0.1")


def test_the_doctor_examines_each_replica(replicated: ReplicaStack) -> None:
    replicated.stop_replication(1)
    found = examine(load_config(replicated.write_config()))
    what = {finding.subject: finding.what for finding in found if finding.kind is Kind.REPLICATION}
    first, second = (f"MySQL teamtalk_slave at 127.0.0.1:{replica.port}" for replica in replicated.replicas)
    assert "it follows 127.0.0.1" in what[first]
    assert "gets no reads" in what[second]
    assert len([finding for finding in found if finding.kind is Kind.GTIDS]) == 2


def test_without_gtids_a_replica_gets_no_reads(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ExitStack() as exits:
        if PrivateMariaDB().is_mysql:
            stack = exits.enter_context(ReplicaStack(gtid=False))
        else:
            stack = exits.enter_context(ReplicaStack(mysql_options=("--skip-log-bin",)))
        seed.users(stack, "alice", "bob")
        with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
            assert [what for _ in range(3) for what in written_and_not_seen(client, client)] == []
            assert states(proxy) == ["left_out"]
    (line,) = [record.getMessage() for record in caplog.records if "gets no reads, others" in record.getMessage()]
    assert "gtid_mode=ON" in line or "log_bin" in line


def test_another_node_of_a_galera_cluster_shows_what_was_written_before(dbproxy_galera: GaleraStack) -> None:
    dbproxy_galera.reset()
    seed.users(dbproxy_galera, "alice", "bob")
    host, port = dbproxy_galera.nodes[1].address
    keys = {**KEYS, "teamtalk_slave_host": host, "teamtalk_slave_port": port}
    with InProcessProxy(dbproxy_galera, keys) as proxy, proxy.client() as client:
        assert [what for _ in range(40) for what in written_and_not_seen(client, client)] == []
        (replica,) = reads_of(proxy).replicas()
        assert (replica.state, replica.fresh_by) == ("used", "galera")
        assert replica.reads > 100
        dbproxy_galera.isolate(1)
        assert poll(lambda: states(proxy), lambda found: found == ["left_out"], BACK) == ["left_out"]
