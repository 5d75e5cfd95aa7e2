"""An account with privileges on its database only learns as much of its servers as it needs: which they are, and which take writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fresh_reads import reads_of, states, written_and_not_seen

from dbproxy.testing import InProcessProxy, ReplicaStack, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(120)


@pytest.fixture(scope="module")
def servers() -> Iterator[ReplicaStack]:
    """performance_schema is on, as it is everywhere but in tests: with it MySQL checks who may read it."""
    with ReplicaStack(list_hosts=True, monitoring=False, mysql_options=("--performance-schema=ON",)) as stack:
        yield stack


@pytest.fixture
def stack(servers: ReplicaStack) -> ReplicaStack:
    servers.reset()
    seed.users(servers, "alice", "bob")
    servers.wait_for_replicas()
    return servers


def test_servers_are_told_apart_and_a_read_only_one_is_seen_to_be(stack: ReplicaStack) -> None:
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy:
        master, slave = proxy.application.observed.master, reads_of(proxy)
        with slave.connection() as connection:
            replica = connection.connected_to.role
        assert master.identity
        assert replica.identity not in ("", master.identity)
        assert replica.refusal == "it is read-only"
        assert replica.not_known == ""


def test_a_replica_that_lags_shows_nothing_old(stack: ReplicaStack) -> None:
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        eventually(lambda: states(proxy), ["used"])
        stack.delay(0, 3)
        assert written_and_not_seen(client, client) == []


def test_a_planned_switch_is_followed(stack: ReplicaStack) -> None:
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert client.login("alice").result_code == 0
        stack.promote()
        assert client.send_message(1, 2, "after the switch").msg_id
        assert proxy.application.observed.master.address[1] == stack.primary.port
