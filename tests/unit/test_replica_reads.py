"""What a read asks of a replica, without any server."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.mysql.master_position import MasterPosition, Position
from dbproxy.stores.mysql.replica import Replica, ReplicaFindings
from dbproxy.stores.mysql.replica_connection import NO_CONDITION, NotFreshError, ReplicaConn
from dbproxy.stores.mysql.replica_reads import ReplicaReads
from dbproxy.stores.mysql.replica_set import MOST_UNANSWERED, ReplicaSet
from dbproxy.stores.mysql.server_choice import ConnectedServer
from dbproxy.stores.mysql.server_role import ServerRole


class Connection(ReplicaConn):
    """Notes what it is to ask first, and never connects."""

    is_mariadb = True

    def __init__(self, server: str) -> None:
        self.connected_to = ConnectedServer(ServerRole(server, 1000), 0, math.inf)
        self.conditions: list[str] = []

    def quoted(self, name: str) -> str:
        return f"'{name}'"

    def require(self, condition: Sequence[str], on_answer: Any) -> None:
        self.conditions += condition
        on_answer()


class Pool:
    """Of one connection."""

    failovers = 0

    def __init__(self, server: str) -> None:
        self.made = Connection(server)

    @contextlib.contextmanager
    def connection(self) -> Iterator[DBConn]:
        yield self.made


class Master:
    """Says how far it is; the number of times is counted."""

    last = None

    def __init__(self) -> None:
        self.asked = 0

    def since(self, moment: float) -> Position:
        del moment
        self.asked += 1
        return Position("0-1-5", "master", asked_at=time.monotonic())


def made(*servers: str) -> tuple[ReplicaReads, Master, list[Pool]]:
    pools, master = [Pool(server) for server in servers], Master()
    replicas = ReplicaSet(cast("Sequence[DBPool]", pools), 5.0)
    for replica, server in zip(replicas.replicas, servers, strict=True):
        replica.identity, replica.fresh_by, replica.told = server, "gtid", True
    return ReplicaReads(replicas, cast("MasterPosition", master), cast("DBPool", Pool("master")), UNTRACKED), master, pools


def is_asked(pool: Pool) -> bool:
    return any("0-1-5" in condition for condition in pool.made.conditions)


def confirm(replica: Replica) -> None:
    """It has everything that will be committed in this test."""
    replica.confirmed = (replica.identity, math.inf)


def test_a_replica_is_asked_although_another_one_that_is_busy_need_not_be() -> None:
    reads, master, (first, second) = made("first", "second")
    confirm(reads.replicas.replicas[0])
    reads.replicas.replicas[0].unanswered = MOST_UNANSWERED
    with reads.connection() as connection:
        assert connection is second.made
    assert master.asked == 1
    assert is_asked(second)
    assert not first.made.conditions
    assert [replica.in_use for replica in reads.replicas.replicas] == [0, 0]


def test_one_that_has_shown_what_it_has_is_not_asked_and_nor_is_the_master() -> None:
    reads, master, (first, _) = made("first", "second")
    confirm(reads.replicas.replicas[0])
    assert reads.read(lambda connection: connection is first.made)
    assert first.made.conditions == [*NO_CONDITION]
    assert master.asked == 0


def test_a_server_that_does_not_say_which_one_it_is_is_always_asked() -> None:
    reads, _, (pool,) = made("")
    for _ in range(2):
        reads.read(lambda _: None)
        assert is_asked(pool)
        pool.made.conditions.clear()


def test_another_server_than_the_one_that_has_confirmed_shows_nothing_unasked() -> None:
    reads, _, (pool,) = made("first")
    confirm(reads.replicas.replicas[0])
    pool.made.connected_to = ConnectedServer(ServerRole("other", 1000), 0, math.inf)
    with pytest.raises(NotFreshError), reads.connection():
        pass


def test_a_former_server_of_the_master_shows_nothing_unasked_after_a_failover() -> None:
    reads, master, (pool,) = made("first")
    reads.replicas.judge(reads.replicas.replicas[0], ReplicaFindings("first", "master", failovers=-1, lag=0.0, caught_up=True))
    with reads.connection():
        assert master.asked == 1
        assert is_asked(pool)
