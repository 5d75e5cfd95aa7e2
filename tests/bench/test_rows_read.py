"""Rows that the database reads for a request, counted by itself (Handler_read%): a long history must not be read, whichever the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.protobuf.message import Message

from dbproxy.backends import Backends
from dbproxy.bench import dataset
from dbproxy.bench.requests import REQUESTS, Subject
from dbproxy.models import names
from dbproxy.stores.redis import CacheCommand
from dbproxy.testing import Client, InProcessProxy, Stack
from dbproxy.testing.requests import message
from dbproxy.wire.pb import base_define_pb2 as base
from devtools.bench.cost import QUIET, Meter, cost_of, counted_proxy

CONVERSATIONS = 20
SHORT, LONG = 30, 1000
"""Messages in each conversation. The longest list that is asked for has fewer."""

NAMES = (
    *("send", "list, newest", "by id", "latest id", "group send", "group list, newest", "group by id", "group latest id"),
    *("unread", "recent", "token"),
)


@dataclass
class Histories:
    """One user with many conversations and groups of the same length, in which everything of the others is unread."""

    backends: Backends
    meter: Meter
    client: Client
    relations: dict[tuple[int, int], int]
    groups: list[int]
    users: list[int]
    length: int = 0

    def grow(self, length: int) -> None:
        """Make every history as long as this; what was sent meanwhile goes."""
        with self.backends.master.connection() as connection:
            for relate_id in self.relations.values():
                connection.execute(f"delete from {names.message_table(relate_id)} where relateId={relate_id} and msgId>{self.length}")
            for group_id in self.groups:
                connection.execute(f"delete from {names.group_message_table(group_id)} where groupId={group_id} and msgId>{self.length}")
            connection.execute("begin")
            dataset.make_messages(connection, list(self.relations.values()), self.length + 1, length - self.length)
            for group_id in self.groups:
                dataset.make_group_messages(connection, group_id, self.users, self.length + 1, length - self.length)
            connection.execute("commit")
            tables = [table(shard) for table in (names.message_table, names.group_message_table) for shard in range(8)]
            connection.select(f"analyze table {','.join(tables)}")
        counters: list[CacheCommand] = [("SET", names.msg_id_key(relate_id), length) for relate_id in self.relations.values()]
        counters += [("HSET", names.unread_key(self.users[0]), peer_id, 3) for _, peer_id in self.relations]
        for group_id in self.groups:
            counters += [("SET", names.group_msg_id_key(group_id), length)]
            counters += [("HSET", names.group_count_key(group_id), names.COUNT_FIELD, length)]
        self.backends.caches.unread.execute(counters)
        self.length = length

    def rows_read(self) -> dict[str, float]:
        """Request → rows read for one of it."""
        (user_id, peer_id), relate_id = next(iter(self.relations.items()))
        subject = Subject(user_id, dataset.user_name(1), peer_id, relate_id, self.groups[0], user_id)
        return {name: cost_of(self.client, self.meter, REQUESTS[name](subject), 4).rows_read for name in NAMES}


@pytest.fixture
def histories(dbproxy_stack: Stack) -> Iterator[Histories]:
    with counted_proxy(dbproxy_stack) as (proxy, backends, meter), proxy.client() as client:
        with backends.master.connection() as connection:
            users = dataset.make_users(connection, 1, 1 + CONVERSATIONS)
            relations = dataset.make_relations(connection, [(users[0], peer_id) for peer_id in users[1:]])
            groups = [dataset.make_group(connection, number, users) for number in range(CONVERSATIONS)]
        for group_id in groups:
            dataset.make_member_keys(backends, group_id, users)
        dataset.make_device_tokens(backends, users)
        yield Histories(backends, meter, client, relations, groups, users)


def test_requests_read_as_many_rows_of_a_long_history_as_of_a_short_one(histories: Histories) -> None:
    histories.grow(SHORT)
    short = histories.rows_read()
    histories.grow(LONG)
    long = histories.rows_read()
    assert {name: (short[name], rows) for name, rows in long.items() if rows > short[name] + 2} == {}


@pytest.mark.parametrize("removed", [False, True], ids=["nothing removed", "newest messages removed"])
def test_storing_after_another_proxy_reads_no_history(dbproxy_stack: Stack, histories: Histories, removed: bool) -> None:
    """When another proxy has stored in a conversation, its largest msg_id is asked for; among all statuses if messages were removed."""
    batch: list[Message] = [message(one, other, "x") for one, other in histories.relations]
    batch += [message(histories.users[0], group_id, "y", msg_type=base.MSG_TYPE_GROUP_TEXT) for group_id in histories.groups]

    def rows_read() -> float:
        histories.client.requests(batch)
        with InProcessProxy(dbproxy_stack, {"SyncInterval": QUIET}) as other, other.client() as client:
            client.requests(batch)
        if removed:
            for relate_id in histories.relations.values():
                table = names.message_table(relate_id)
                dbproxy_stack.rows(f"update {table} set status=1 where relateId={relate_id} order by id desc limit 2")
        before = histories.meter.read()
        histories.client.requests(batch)
        return histories.meter.cost(before, histories.meter.read(), 1).rows_read

    histories.grow(SHORT)
    short = rows_read()
    histories.grow(LONG)
    assert rows_read() < short + len(batch)
