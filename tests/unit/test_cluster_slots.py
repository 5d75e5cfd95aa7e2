"""What is known of a Redis Cluster without asking it: slots of commands, what a pipeline becomes, and what nodes say of each other."""

from __future__ import annotations

import pytest
import redis
from redis.crc import key_slot

from dbproxy.stores.redis.cluster_slots import SLOTS, Plan, Topology, recognized, redirected, slot_of

HALF = SLOTS // 2
FIRST, SECOND = ("10.0.0.1", 7000), ("10.0.0.2", 7000)
OWNERS = [FIRST] * HALF + [SECOND] * HALF


def key_of(owner: tuple[str, int], number: int = 0) -> str:
    return [key for key in (f"unread_{n}" for n in range(1000)) if OWNERS[key_slot(key.encode())] == owner][number]


def test_a_command_belongs_to_the_slot_of_its_first_argument() -> None:
    assert slot_of(("HGET", "unread_7", "1")) == slot_of(("HGET", b"unread_7", 1)) == key_slot(b"unread_7")
    assert slot_of(("GET", "{tag}a")) == slot_of(("GET", "{tag}b"))
    assert slot_of(("SCAN", b"0", "MATCH", "*")) == slot_of(("PING",)) == 0


def test_a_pipeline_is_split_by_node_and_keeps_its_order_there() -> None:
    one, other, third = key_of(FIRST), key_of(SECOND), key_of(FIRST, 1)
    plan = Plan([("SET", one, 0), ("INCRBY", other, 1), ("INCRBY", one, 2), ("GET", third)])
    assert plan.by_owner(OWNERS) == {FIRST: [0, 2, 3], SECOND: [1]}
    assert plan.by_owner(OWNERS, [1, 3]) == {SECOND: [1], FIRST: [3]}
    assert plan.answers([b"OK", 1, 2, None]) == [b"OK", 1, 2, None]


def test_a_transaction_goes_to_the_node_of_its_key_as_a_whole() -> None:
    one, other = key_of(FIRST), key_of(SECOND)
    plan = Plan([("GET", one), ("MULTI",), ("DEL", other), ("HSET", other, "1", "2"), ("EXEC",), ("MULTI",), ("DEL", one), ("EXEC",)])
    assert plan.blocks == {1: 4, 5: 3}
    assert plan.by_owner(OWNERS) == {FIRST: [0, 5, 6, 7], SECOND: [1, 2, 3, 4]}


def test_the_keys_of_an_mget_are_asked_for_where_they_are() -> None:
    one, other = key_of(FIRST), key_of(SECOND)
    plan = Plan([("MGET", one, other, one), ("GET", other), ("MGET", other)])
    assert list(plan.commands) == [("MGET", one), ("MGET", other), ("MGET", one), ("GET", other), ("MGET", other)]
    assert plan.by_owner(OWNERS) == {FIRST: [0, 2], SECOND: [1, 3, 4]}
    assert plan.answers([[b"a"], [None], [b"a"], b"b", [b"b"]]) == [[b"a", None, b"a"], b"b", [b"b"]]
    assert Plan([("GET", one), ("MGET",), ("GET", other)]).answers([b"a", b"b"]) == [b"a", [], b"b"]
    refusal = redis.exceptions.ClusterDownError("The cluster is down")
    assert plan.answers([[b"a"], refusal, [b"a"], b"b", [b"b"]]) == [refusal, b"b", [b"b"]]


def test_the_topology_is_what_the_nodes_announce() -> None:
    slots = [
        [0, 9, [b"10.0.0.1", 7000, b"id1", []], [b"replica.test", 7001, b"id2"]],
        [10, 19, [b"", 7002, b"id3"]],
        [20, 29, [None, 7003, b"id4"]],
        [30, 39, [b"?", 7004, b"id5"]],
    ]
    info = b"cluster_state:fail\r\ncluster_slots_assigned:40\r\ncluster_current_epoch:17\r\n"
    topology = Topology.from_replies(slots, info, ("asked.test", 7009))
    assert topology.masters == (("10.0.0.1", 7000), ("asked.test", 7002), ("asked.test", 7003), ("asked.test", 7004))
    assert topology.replicas == {("replica.test", 7001): ("10.0.0.1", 7000)}
    assert topology.owners[9:11] == [("10.0.0.1", 7000), ("asked.test", 7002)]
    assert (topology.epoch, topology.works, topology.unserved) == (17, False, SLOTS - 40)


def test_an_account_that_may_not_ask_for_the_state_knows_the_nodes_all_the_same() -> None:
    topology = Topology.from_replies([[0, SLOTS - 1, [b"10.0.0.1", 7000]]], redis.ResponseError("NOPERM"), FIRST)
    assert (topology.epoch, topology.works, topology.unserved) == (0, True, 0)


@pytest.mark.parametrize("reply", [[[1, 2]], [[0, 1, [b"host"]]], [["a", 1, [b"host", 1]]], 7])
def test_a_reply_that_is_no_topology_is_an_error(reply: object) -> None:
    with pytest.raises(redis.InvalidResponse):
        Topology.from_replies(reply, b"", FIRST)


def test_a_redirection_without_a_host_leads_to_the_host_that_was_asked() -> None:
    assert redirected(redis.exceptions.MovedError("7 10.0.0.9:7001"), FIRST) == ("10.0.0.9", 7001)
    assert redirected(redis.exceptions.AskError("7 :7001"), FIRST) == ("10.0.0.1", 7001)
    assert redirected(redis.exceptions.MovedError("7 ::1:7001"), FIRST) == ("::1", 7001)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("MOVED 7497 127.0.0.1:6381", redis.exceptions.MovedError),
        ("ASK 7497 127.0.0.1:6381", redis.exceptions.AskError),
        ("TRYAGAIN Multiple keys request during rehashing of slot", redis.exceptions.TryAgainError),
        ("CLUSTERDOWN Hash slot not served", redis.exceptions.ClusterDownError),
        ("MASTERDOWN Link with MASTER is down", redis.exceptions.MasterDownError),
        ("WRONGTYPE Operation against a key", redis.ResponseError),
    ],
)
def test_errors_of_a_cluster_are_recognized_where_redis_py_does_not_do_so(text: str, kind: type[Exception]) -> None:
    found = recognized(redis.ResponseError(text))
    assert type(found) is kind
    if isinstance(found, redis.exceptions.AskError):
        assert (found.slot_id, found.host, found.port) == (7497, "127.0.0.1", 6381)
    assert recognized(b"MOVED 1 a:1") == b"MOVED 1 a:1"
