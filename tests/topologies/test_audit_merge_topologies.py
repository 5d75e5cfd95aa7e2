"""dbproxy-audit --merge while proxies write to several nodes of a Galera cluster or a replication group, and with counters on a Redis
Cluster.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import damage
import pytest

from dbproxy.audit import audit, merge_run, open_stores
from dbproxy.audit.backup import Backup
from dbproxy.audit.merge import Merger
from dbproxy.config import load_config
from dbproxy.models.conversation_merge import ConversationMerge
from dbproxy.stores.mysql import DBPool
from dbproxy.testing import ClusterStack, GaleraStack, GroupStack, ProxyProcess, Stack, seed
from devtools.traffic import Traffic

pytestmark = pytest.mark.watchdog(300)


def merge_under_traffic(stack: Stack, config: Path, proxies: list[ProxyProcess], backup: Path) -> None:
    seed.users(stack, "alice", "bob", "carol", "dave")
    seed.group(stack, 9, [1, 2, 3])
    histories = damage.split_and_twice(stack, 600)
    seed.relation(stack, 1, 2, relate_id=6)  # empty: it is hidden under the locks of the conversation
    conversations = [(1, 2, False), (3, 4, False), (1, 9, True)]
    with ExitStack() as exits:
        with Traffic(lambda number: proxies[number % len(proxies)].client(timeout=30), conversations) as traffic:
            traffic.wait_for(30, 60)
            with open_stores(load_config(config), 0.5) as backends, Backup(backup) as kept:
                results = list(Merger(backends, kept).run())
            traffic.wait_for(30, 60)
        assert [result.error for result in results] == ["", "", ""]
        assert sum(result.renumbered for result in results) > 1000
        assert (traffic.refused, traffic.unanswered) == (0, 0)
        for proxy in proxies:
            client = exits.enter_context(proxy.client(timeout=30))
            damage.assert_readable(client, histories)
            stored = {text for key in histories for text, _, _ in damage.read_all(client, *key, page=500)}
            sent = {entry.token for history in traffic.histories for entry in history.acknowledged}
            assert sent <= {text.partition(":")[0] for text in stored}
    with open_stores(load_config(config), 0.5) as backends:
        assert audit(backends).counts == {}


def test_proxies_write_to_two_nodes(several_writers: GaleraStack | GroupStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_run, "STEP", 100)
    several_writers.reset()
    with ExitStack() as exits:
        keys = {"SyncInterval": 1, "DBTimeout": 6}
        proxies = [exits.enter_context(ProxyProcess(several_writers, several_writers.on(node, keys))) for node in (1, 0)]
        config = several_writers.write_config(overrides=several_writers.on(0, keys))
        merge_under_traffic(several_writers, config, proxies, tmp_path)


@pytest.mark.parametrize("moment", ["settle", "finish"])
def test_a_proxy_that_stores_late_what_it_had_an_id_for_does_not_break_the_order(
    moment: str, several_writers: GaleraStack | GroupStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = several_writers
    stack.reset()
    seed.users(stack, "alice", "bob", "carol", "dave")
    seed.group(stack, 9, [1, 2, 3])
    histories = damage.split_and_twice(stack, 60)
    looks, stored = Counter[int](), list[int]()
    done, newest = getattr(ConversationMerge, moment), ConversationMerge._newest
    created = int(time.time()) if moment == "settle" else seed.T0 + 20  # the newest message, or one among those that were renumbered

    def store_late(merge: ConversationMerge, *arguments: object) -> object:
        result = done(merge, *arguments) if moment == "settle" else None
        if merge.target_id == 3 and not stored:
            stored.append(looks[3])
            damage.store(stack, (3, 4), 3, [("late", created, 31)])
        return done(merge, *arguments) if result is None else result

    def look(merge: ConversationMerge, master: DBPool, below: int) -> tuple[int, int]:
        looks[merge.target_id] += 1
        return newest(merge, master, below)

    monkeypatch.setattr(ConversationMerge, moment, store_late)
    monkeypatch.setattr(ConversationMerge, "_newest", look)
    config = stack.write_config(overrides=stack.on(0, {}))
    with open_stores(load_config(config), 0.5) as backends, Backup(tmp_path) as kept:
        results = list(Merger(backends, kept).run())
    assert [result.error for result in results] == ["", "", ""]
    assert (results[1].where, results[1].kept) == ("relation 3", 30)
    assert (looks[4], stored, looks[9]) == (1, [1], 1)  # where nobody has written lately nothing is waited for
    assert looks[3] > 1
    texts = histories[3, 4, damage.SINGLE]
    place = len(texts) if moment == "settle" else texts.index("message 41") + 1
    histories[3, 4, damage.SINGLE] = [*texts[:place], "late", *texts[place:]]
    with ProxyProcess(stack, stack.on(1, {})) as proxy, proxy.client(timeout=30) as client:
        damage.assert_readable(client, histories)


def test_counters_are_on_a_redis_cluster(dbproxy_cluster: ClusterStack, tmp_path: Path) -> None:
    dbproxy_cluster.reset()
    with ProxyProcess(dbproxy_cluster) as proxy:
        merge_under_traffic(dbproxy_cluster, dbproxy_cluster.write_config(), [proxy], tmp_path)
