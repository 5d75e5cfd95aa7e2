"""Messages of dbproxy-admin on a Galera cluster, with proxies at other nodes, and with replicas for reads."""

from __future__ import annotations

import pytest
from administering import administration_of

from dbproxy.admin.messages.archive import Pruning
from dbproxy.admin.messages.conversations import Conversations
from dbproxy.admin.statistics import Statistics
from dbproxy.audit.auditor import audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing import GaleraStack, InProcessProxy, ReplicaStack, Stack, seed
from devtools.traffic import Traffic

pytestmark = [pytest.mark.watchdog(180)]

LIMIT = seed.T0 + 1_000_000


def fill(stack: Stack) -> None:
    seed.users(stack, "alice", "bob", "carol")
    seed.group(stack, 9, [1, 2, 3])
    seed.relation(stack, 1, 2, relate_id=1)
    seed.messages(stack, 1, 2, [f"text {number}" for number in range(800)], relate_id=1)
    seed.group_messages(stack, 1, 9, [f"text {number}" for number in range(800)])


def test_messages_are_hidden_and_archived_at_one_node_while_a_proxy_writes_at_another(dbproxy_galera: GaleraStack) -> None:
    stack = dbproxy_galera
    stack.reset()
    fill(stack)
    with InProcessProxy(stack, stack.on(1)) as proxy:
        conversations = ((1, 2, False), (2, 1, False), (3, 9, True))
        with Traffic(lambda number: proxy.client(), conversations) as traffic, administration_of(stack, stack.on(0)) as administration:
            traffic.wait_for(10)
            shown = Conversations(administration)
            for conversation in (shown.between(1, 2), shown.of_group(9)):
                for msg_id in (790, 795, 800):
                    assert shown.hide(conversation, msg_id).changed
                assert shown.unhide(conversation, 795).changed
            assert Pruning(administration).run(LIMIT).removed == 1600
            traffic.wait_for(10)
        stack.wait_until_equal()
        assert traffic.verify(stack) == []
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        assert set(audit(backends).counts) == set()


def test_what_was_just_written_is_read_from_replicas_and_archived(dbproxy_replicas: ReplicaStack) -> None:
    stack = dbproxy_replicas
    stack.reset()
    fill(stack)
    with administration_of(stack) as administration:
        shown = Conversations(administration)
        group = shown.of_group(9)
        assert shown.hide(group, 800).changed
        assert shown.page(group, limit=1).entries[0].hidden
        assert sum(day.group for day in Statistics(administration).messages_per_day(3)) == 0
        assert Pruning(administration).run(LIMIT).removed == 799 + 798
        assert [message.msg_id for message in shown.page(group).entries] == [800, 799]
