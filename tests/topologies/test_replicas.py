"""Reads from replicas: nothing is stale, whatever becomes of them. A real primary with two replicas."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fresh_reads import BACK, is_newest, reads_of, states, written_and_not_seen

from dbproxy.errors import StartupError
from dbproxy.stores.mysql.replica import ReplicaReport
from dbproxy.testing import Client, InProcessProxy, ReplicaStack, seed
from dbproxy.testing.waiting import eventually, poll

Log = pytest.LogCaptureFixture

pytestmark = pytest.mark.watchdog(180)  # the first test starts three servers


@pytest.fixture
def replicated(dbproxy_replicas: ReplicaStack, caplog: Log) -> ReplicaStack:
    caplog.set_level(logging.INFO)
    dbproxy_replicas.reset()
    seed.users(dbproxy_replicas, "alice", "bob", "carol")
    dbproxy_replicas.wait_for_replicas()
    return dbproxy_replicas


@pytest.fixture
def proxy(replicated: ReplicaStack) -> Iterator[InProcessProxy]:
    with InProcessProxy(replicated, {"StopGrace": 1}) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: InProcessProxy) -> Iterator[Client]:
    with proxy.client() as client:
        yield client


def state(proxy: InProcessProxy, index: int = 0) -> ReplicaReport:
    return reads_of(proxy).replicas()[index]


def told(caplog: Log, of: str = "gets no reads") -> list[str]:
    return [record.getMessage() for record in caplog.records if of in record.getMessage()]


def test_what_was_written_is_seen_at_once_through_any_proxy(replicated: ReplicaStack, proxy: InProcessProxy) -> None:
    with ExitStack() as exits:
        other = exits.enter_context(InProcessProxy(replicated, {"StopGrace": 1}))
        writer = exits.enter_context(proxy.client())
        reader = exits.enter_context(other.client())
        missing = [what for _ in range(20) for clients in ((writer, writer), (writer, reader)) for what in written_and_not_seen(*clients)]
        assert missing == []
        assert all(replica.reads > 20 for replica in reads_of(other).replicas())  # it was not the master that was asked


def test_reads_are_spread_and_nothing_else_goes_to_replicas(proxy: InProcessProxy, client: Client) -> None:
    for _ in range(20):
        client.user_info([1, 2])
    assert [replica.reads >= 10 for replica in reads_of(proxy).replicas()] == [True, True]
    before = sum(replica.reads for replica in reads_of(proxy).replicas())
    client.login("alice")
    client.push_shield(1)
    client.unread(1)
    assert sum(replica.reads for replica in reads_of(proxy).replicas()) == before


def test_replicas_that_are_stopped_are_left_out_until_they_go_on(
    replicated: ReplicaStack, proxy: InProcessProxy, client: Client, caplog: Log
) -> None:
    for index in range(2):
        replicated.stop_replication(index)
    salted = hashlib.md5(hashlib.md5(b"new").hexdigest().encode() + b"salt").hexdigest()
    replicated.rows("update IMUser set password=%s,salt='salt' where id=1", (salted,))
    assert client.login("alice").result_code != 0
    assert client.login("alice", "new").result_code == 0
    assert [what for _ in range(3) for what in written_and_not_seen(client, client)] == []
    assert eventually(lambda: states(proxy), ["left_out"] * 2, BACK) == ["left_out"] * 2
    assert written_and_not_seen(client, client) == []
    assert [("is stopped" in line) for line in told(caplog)] == [True, True]
    assert reads_of(proxy).report().works
    for index in range(2):
        replicated.start_replication(index)
    assert eventually(lambda: states(proxy), ["used"] * 2, BACK) == ["used"] * 2
    assert written_and_not_seen(client, client) == []
    assert len(told(caplog)) == 2


def test_a_replica_that_lags_is_left_out_until_it_has_caught_up(replicated: ReplicaStack, caplog: Log) -> None:
    replicated.delay(0, 60)
    with InProcessProxy(replicated, {"StopGrace": 1, "MaxReplicaLag": 1}) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        assert poll(lambda: state(proxy).lag or 0.0, lambda lag: lag > 1, BACK) > 1
        assert eventually(lambda: states(proxy), ["left_out", "used"], BACK) == ["left_out", "used"]
        assert written_and_not_seen(client, client) == []
        assert ["MaxReplicaLag" in line for line in told(caplog)] == [True]
        replicated.delay(0, 0)
        assert eventually(lambda: states(proxy), ["used"] * 2, BACK) == ["used"] * 2


@pytest.mark.long
def test_a_replica_that_dies_costs_no_request(replicated: ReplicaStack, proxy: InProcessProxy, client: Client, caplog: Log) -> None:
    assert written_and_not_seen(client, client) == []
    replicated.replicas[0].kill()
    assert [what for _ in range(5) for what in written_and_not_seen(client, client)] == []
    assert eventually(lambda: states(proxy), ["left_out", "used"], BACK) == ["left_out", "used"]
    replicated.replicas[1].kill()
    assert [what for _ in range(5) for what in written_and_not_seen(client, client)] == []
    for replica in replicated.replicas:
        replica.start()
    assert eventually(lambda: states(proxy), ["used"] * 2, BACK) == ["used"] * 2
    assert len(told(caplog)) == 2


def test_a_frozen_replica_holds_up_few_requests_and_those_not_for_long(
    replicated: ReplicaStack, proxy: InProcessProxy, client: Client, caplog: Log
) -> None:
    assert written_and_not_seen(client, client) == []
    replicated.replicas[0].freeze()
    slow = 0
    with ExitStack() as exits:
        clients = [exits.enter_context(proxy.client()) for _ in range(8)]
        lasted: list[float] = []

        def ask(asking: Client) -> None:
            for _ in range(10):
                began = time.monotonic()
                assert len(asking.user_info([1, 2]).user_info_list) == 2
                lasted.append(time.monotonic() - began)

        threads = [threading.Thread(target=ask, args=(one,)) for one in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        slow = sum(seconds > 0.8 for seconds in lasted)
    assert len(lasted) == 80
    assert slow <= 16  # those at the replica when it froze, and in the same batches
    assert eventually(lambda: states(proxy), ["left_out", "used"], BACK) == ["left_out", "used"]
    replicated.replicas[0].thaw()
    assert eventually(lambda: states(proxy), ["used"] * 2, BACK) == ["used"] * 2


@pytest.mark.long
def test_a_start_without_replicas_works_and_they_join(replicated: ReplicaStack, caplog: Log) -> None:
    for replica in replicated.replicas:
        replica.kill()
    with InProcessProxy(replicated, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        assert len(told(caplog)) == 2
        for replica in replicated.replicas:
            replica.start()
        assert eventually(lambda: states(proxy), ["used"] * 2, BACK) == ["used"] * 2
        assert written_and_not_seen(client, client) == []


@pytest.mark.long
def test_reads_go_on_while_the_master_is_away(replicated: ReplicaStack, proxy: InProcessProxy, client: Client) -> None:
    msg_id = client.send_message(1, 2, "hello").msg_id
    assert is_newest(client, msg_id)
    replicated.wait_for_replicas()
    replicated.primary.kill()
    assert all(is_newest(client, msg_id) for _ in range(5))
    assert client.send_message(1, 2, "lost").msg_id == 0
    replicated.primary.start()
    assert poll(lambda: client.send_message(1, 2, "again").msg_id, bool, BACK)
    assert written_and_not_seen(client, client) == []


@pytest.mark.long
def test_after_a_failover_the_promoted_replica_is_the_master(replicated: ReplicaStack) -> None:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in replicated.servers)
    with InProcessProxy(replicated, {"StopGrace": 1, "teamtalk_master_host": hosts}) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        replicated.promote(0)
        assert poll(lambda: client.send_message(1, 2, "again").msg_id, bool, BACK)
        assert [what for _ in range(5) for what in written_and_not_seen(client, client)] == []
        assert eventually(lambda: state(proxy).fresh_by, "master", BACK) == "master"
        assert [what for _ in range(5) for what in written_and_not_seen(client, client)] == []


@pytest.mark.long
def test_one_server_under_two_names_is_one_server(replicated: ReplicaStack) -> None:
    keys = {"teamtalk_slave_host": "localhost", "teamtalk_slave_port": replicated.primary.port, "StopGrace": 1}
    with InProcessProxy(replicated, keys) as proxy, proxy.client() as client:
        assert written_and_not_seen(client, client) == []
        assert reads_of(proxy).replicas() == []
        assert [thread.name for thread in threading.enumerate() if thread.name == "replica-watch"] == []


@pytest.mark.long
@pytest.mark.parametrize("key", ["password", "dbname"])
def test_a_wrong_account_or_database_of_a_replica_is_a_mistake(replicated: ReplicaStack, key: str) -> None:
    with pytest.raises(StartupError, match="teamtalk_slave"), InProcessProxy(replicated, {f"teamtalk_slave_{key}": "wrong"}):
        pass


@pytest.mark.long
def test_a_server_that_replicates_from_nowhere_gets_no_reads(replicated: ReplicaStack, caplog: Log) -> None:
    stranger = replicated.replicas[0]
    replicated.stop_replication(0)
    stranger.run_as_root("reset replica all")
    with InProcessProxy(replicated, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert states(proxy) == ["left_out", "used"]
        assert written_and_not_seen(client, client) == []
        assert "replicates from nowhere" in told(caplog)[0]
