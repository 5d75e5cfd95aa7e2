"""What a request costs the stores, counted by the servers and by links in between: fixed numbers, on every machine and under every load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbproxy.backends import Backends
from dbproxy.bench import dataset
from dbproxy.bench.requests import REQUESTS
from dbproxy.testing import Client, InProcessProxy, Stack
from dbproxy.testing.requests import message
from dbproxy.wire.pb import buddy_pb2, server_pb2
from devtools.bench.axes import Axis, GroupSize, History, Unread, Users
from devtools.bench.cost import Cost, Meter, cost_of, counted_proxy

INDEXES = Path(__file__).parents[2] / "conf" / "indexes.sql"

SHAPE = dataset.Shape(users=60, friends=4, history=20, groups=4, group_size=20)


@dataclass
class Counted:
    """A proxy whose round trips are counted, and a connection to it."""

    proxy: InProcessProxy
    backends: Backends
    meter: Meter
    client: Client

    def made(self, kind: type[Axis]) -> Axis:
        """Data of its own for each test that grows something."""
        axis = kind(self.backends)
        axis.prepare(dataset.make(self.backends, SHAPE))
        return axis

    def cost(self, axis: Axis, name: str) -> Cost:
        return cost_of(self.client, self.meter, REQUESTS[name](axis.subject), 8)


@pytest.fixture
def counted(dbproxy_stack: Stack) -> Iterator[Counted]:
    with counted_proxy(dbproxy_stack) as (proxy, backends, meter), proxy.client() as client:
        yield Counted(proxy, backends, meter, client)


def work(cost: Cost) -> tuple[float, float, float]:
    """What must not depend on how much there is: statements and round trips."""
    return cost.statements, cost.database_trips, cost.cache_trips


# name → (statements, round trips to MySQL, round trips to Redis), at most, when nothing else is asked at the same time
LIMITS = {
    "send": (6, 2, 2),
    "group send": (7, 2, 4),
    "list, newest": (2, 1, 0),
    "list, middle": (2, 1, 0),
    "by id": (2, 1, 0),
    "latest id": (1, 1, 0),
    "group list, newest": (1, 1, 1),
    "group by id": (1, 1, 1),
    "group latest id": (1, 1, 0),
    "unread": (3, 2, 1),
    "recent": (3, 2, 0),
    "token": (0, 0, 1),
    "user info": (1, 1, 0),
    "login": (1, 1, 0),
    "changed users": (1, 1, 1),
    "departments": (1, 1, 0),
    "groups": (2, 2, 0),
    "group info": (1, 1, 1),
    "mute": (0, 0, 3),
    "who muted": (0, 0, 2),
    "push shield": (1, 1, 0),
    "set push shield": (1, 1, 0),
    "sign info": (1, 1, 1),
    "set token": (0, 0, 3),
    "read ack": (0, 0, 1),
    "group read ack": (0, 0, 2),
    "offline files": (1, 1, 0),
}


def test_each_command_costs_a_fixed_number_of_statements_and_round_trips(counted: Counted) -> None:
    axis = counted.made(History)
    costs = {name: work(counted.cost(axis, name)) for name in LIMITS}
    assert {name: cost for name, cost in costs.items() if any(is_ > may for is_, may in zip(cost, LIMITS[name], strict=True))} == {}
    assert all(sum(cost) > 0 for cost in costs.values())  # the counting itself works


def test_a_long_list_costs_as_many_round_trips_as_a_short_one(counted: Counted) -> None:
    axis = counted.made(Unread)
    lists = ("unread", "recent", "token")
    axis.grow(20)
    few = {name: counted.cost(axis, name) for name in lists}
    axis.grow(90)
    many = {name: counted.cost(axis, name) for name in lists}
    assert {name: work(cost) for name, cost in many.items()} == {name: work(cost) for name, cost in few.items()}
    for name in ("unread", "recent"):
        assert many[name].database_bytes > 2 * few[name].database_bytes  # it was a longer list


def test_a_message_to_a_big_group_costs_what_one_to_a_small_group_costs(counted: Counted) -> None:
    axis = counted.made(GroupSize)
    small = counted.cost(axis, "group send")
    axis.grow(400)
    big = counted.cost(axis, "group send")
    assert work(big) == work(small)
    assert big.verbs == small.verbs
    assert big.cache_bytes == pytest.approx(small.cache_bytes, abs=20)


def test_a_long_history_is_not_read(counted: Counted) -> None:
    axis = counted.made(History)
    axis.grow(3000)
    names = ("send", "list, newest", "by id", "latest id", "recent", "unread")
    groups = ("group send", "group list, newest", "group by id", "group latest id")
    rows = {name: counted.cost(axis, name).rows_read for name in (*names, *groups)}
    assert {name: count for name, count in rows.items() if count >= 200} == {}


def test_many_users_are_not_read(counted: Counted) -> None:
    axis = counted.made(Users)
    axis.grow(2500)
    names = ("send", "user info", "login", "recent", "unread", "token", "push shield", "sign info", "groups")
    rows = {name: counted.cost(axis, name).rows_read for name in names}
    assert {name: count for name, count in rows.items() if count >= 200} == {}


def test_many_users_are_asked_for_with_one_statement(counted: Counted) -> None:
    user_ids = dataset.make(counted.backends, SHAPE).users
    for request in (
        buddy_pb2.IMUsersInfoReq(user_id=user_ids[0], user_id_list=user_ids),
        server_pb2.IMGetDeviceTokenReq(user_id=user_ids),
    ):
        cost = cost_of(counted.client, counted.meter, request)
        assert (cost.statements, cost.database_trips) == (1, 1)
        assert cost.cache_trips <= 2


def test_requests_that_wait_together_are_answered_together(counted: Counted) -> None:
    user_ids = dataset.make(counted.backends, SHAPE).users
    requests = [buddy_pb2.IMUsersInfoReq(user_id=user_id, user_id_list=(user_id,)) for user_id in user_ids]
    counted.client.requests(requests)
    before = counted.meter.read()
    for _ in range(5):
        counted.client.requests(requests)
    cost = counted.meter.cost(before, counted.meter.read(), 5 * len(requests))
    assert cost.database_trips < 0.5
    assert cost.statements < 0.5


def test_messages_that_wait_together_are_stored_together(counted: Counted) -> None:
    data = dataset.make(counted.backends, SHAPE)
    messages = [message(one, other, "x") for one, other in data.pairs[:60]]
    counted.client.requests(messages)
    before = counted.meter.read()
    for _ in range(5):
        counted.client.requests(messages)
    cost = counted.meter.cost(before, counted.meter.read(), 5 * len(messages))
    assert cost.verbs["COMMIT"] < 0.5
    assert cost.database_trips < 0.5
    assert cost.cache_trips < 0.5


def test_the_optional_indexes_carry_their_queries(dbproxy_stack: Stack) -> None:
    indexes = (INDEXES.read_text(encoding="utf-8")).splitlines()
    statements = [line.rstrip(";") for line in indexes if line.startswith("ALTER TABLE")]
    undo = [line.partition("Away again: ")[2].rstrip(";") for line in indexes if "Away again: " in line]
    assert len(statements) == len(undo) == 3
    with counted_proxy(dbproxy_stack) as (proxy, backends, meter), proxy.client() as client:
        counted = Counted(proxy, backends, meter, client)
        axis = counted.made(Users)
        axis.grow(2500)
        without = counted.cost(axis, "changed users").rows_read
        try:
            for statement in statements:
                dbproxy_stack.rows(statement)
            with_it = counted.cost(axis, "changed users").rows_read
        finally:
            for statement in undo:
                dbproxy_stack.rows(statement)
    assert without > 2500
    assert with_it < 50
