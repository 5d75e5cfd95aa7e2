"""Which replicas get reads, without any server."""

from __future__ import annotations

import logging
import math
from typing import cast

import pytest

from dbproxy.stores.mysql import DBPool
from dbproxy.stores.mysql.master_position import Position
from dbproxy.stores.mysql.replica import Replica, ReplicaFindings
from dbproxy.stores.mysql.replica_set import MOST_UNANSWERED, ReplicaRead, ReplicaSet

GOOD = ReplicaFindings("server", "gtid", 0, lag=0.0, caught_up=True)


class NoPool:
    """Stands for a pool that nobody uses."""

    def __str__(self) -> str:
        return "MySQL instance teamtalk_slave"


def replicas(number: int) -> ReplicaSet:
    made = ReplicaSet([cast("DBPool", NoPool()) for _ in range(number)], 5.0)
    for replica in made.replicas:
        made.judge(replica, GOOD)
    return made


def begin(of: ReplicaSet, moment: float = math.inf, tried: tuple[Replica, ...] = ()) -> tuple[Replica, ReplicaRead]:
    begun = of.begin(tried, moment)
    assert begun is not None
    return begun


def test_the_one_with_the_fewest_reads_is_next() -> None:
    some = replicas(3)
    assert len({id(begin(some)[0]) for _ in range(3)}) == 3
    busy, reading = begin(some)
    with reading:
        assert all(begin(some)[0] is not busy for _ in range(2))


def test_a_replica_that_has_said_nothing_yet_gets_few_reads() -> None:
    alone = replicas(1)
    readings = [begin(alone)[1] for _ in range(MOST_UNANSWERED)]
    assert alone.begin((), math.inf) is None
    readings[0].answered(None, "server")
    assert alone.begin((), math.inf) is not None


def test_one_that_has_shown_what_it_has_is_preferred_and_not_asked_again() -> None:
    some = replicas(2)
    assert some.needs_position(10.0, 0)
    shown, reading = begin(some)
    with reading:
        reading.answered(Position("0-1-5", "master", asked_at=11.0), "server")
        assert not some.needs_position(10.0, 0)
        assert begin(some, 10.0)[0] is shown
    assert some.needs_position(12.0, 0)


def test_the_server_of_the_master_need_not_be_asked_until_a_failover() -> None:
    alone = replicas(1)
    alone.judge(alone.replicas[0], ReplicaFindings("server", "master", 3, lag=0.0, caught_up=True))
    assert not alone.needs_position(10.0, 3)
    assert alone.needs_position(10.0, 4)


def test_too_much_lag_is_told_once_and_ends_below_half_of_it(caplog: pytest.LogCaptureFixture) -> None:
    alone = replicas(1)
    caplog.set_level(logging.INFO)
    (replica,) = alone.replicas
    for lag, state in ((4.9, "used"), (5.1, "left_out"), (9.0, "left_out"), (2.6, "left_out"), (2.4, "used")):
        alone.judge(replica, ReplicaFindings("server", "gtid", 0, lag=lag))
        assert replica.state == state
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_one_that_fell_behind_waits_until_it_has_caught_up() -> None:
    alone = replicas(1)
    (replica,) = alone.replicas
    alone.fell_behind(replica)
    alone.judge(replica, ReplicaFindings("server", "gtid", 0, lag=0.3))
    assert alone.begin((), 0.0) is None
    alone.count_master_read()
    assert alone.master_reads()["behind"] == 1
    alone.judge(replica, GOOD)
    assert alone.begin((), 0.0) is not None


def test_one_that_does_not_answer_is_left_out_at_once(caplog: pytest.LogCaptureFixture) -> None:
    some = replicas(2)
    for _ in range(2):
        some.leave_out(some.replicas[0], "it does not answer")
    assert len(caplog.records) == 1
    assert {id(begin(some)[0]) for _ in range(3)} == {id(some.replicas[1])}
    some.leave_out(some.replicas[1], "nor does it")
    some.count_master_read()
    assert some.master_reads()["left_out"] == 1
