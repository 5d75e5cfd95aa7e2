"""How many file descriptors are left to the connections to backends."""

from __future__ import annotations

from pathlib import Path

from dbproxy.config import parse_config
from dbproxy.descriptors import reserved_descriptors

STOCK = (Path(__file__).parents[2] / "conf" / "dbproxyserver.conf").read_text(encoding="utf-8")


def reserved(**keys: str) -> int:
    return reserved_descriptors(parse_config(STOCK, overrides=keys))


def test_each_replica_has_a_pool_and_a_connection_for_the_watch() -> None:
    one = reserved(teamtalk_slave_host="10.0.0.1", teamtalk_slave_maxconncnt="20")
    three = reserved(teamtalk_slave_host="10.0.0.1,10.0.0.2,10.0.0.3", teamtalk_slave_maxconncnt="20")
    assert three - one == 2 * (20 + 1)


def test_a_master_with_several_hosts_has_one_pool() -> None:
    assert reserved(teamtalk_master_host="10.0.0.1,10.0.0.2") == reserved(teamtalk_master_host="10.0.0.1")


def test_a_redis_cluster_has_as_many_connections_to_each_master() -> None:
    assert reserved(unread_cluster="on", unread_db="0", unread_maxconncnt="10") - reserved(unread_maxconncnt="10") == 50
