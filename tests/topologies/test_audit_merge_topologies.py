"""dbproxy-audit --merge while proxies write to all nodes of a Galera cluster, and with counters on a Redis Cluster."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import damage
import pytest

from dbproxy.audit import audit, merge, open_stores
from dbproxy.audit.backup import Backup
from dbproxy.audit.merge import Merger
from dbproxy.config import load_config
from dbproxy.testing import ClusterStack, GaleraStack, ProxyProcess, Stack, seed
from devtools.traffic import Traffic

pytestmark = pytest.mark.watchdog(300)


def merge_under_traffic(stack: Stack, config: Path, proxies: list[ProxyProcess], backup: Path) -> None:
    seed.users(stack, "alice", "bob", "carol", "dave")
    seed.group(stack, 9, [1, 2, 3])
    histories = damage.split_and_twice(stack, 600)
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


def test_proxies_write_to_both_nodes_of_a_galera_cluster(
    dbproxy_galera: GaleraStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "STEP", 100)
    dbproxy_galera.reset()
    with ExitStack() as exits:
        keys = {"SyncInterval": 1, "DBTimeout": 6}
        proxies = [exits.enter_context(ProxyProcess(dbproxy_galera, dbproxy_galera.on(node, keys))) for node in (1, 0)]
        config = dbproxy_galera.write_config(overrides=dbproxy_galera.on(0, keys))
        merge_under_traffic(dbproxy_galera, config, proxies, tmp_path)


def test_counters_are_on_a_redis_cluster(dbproxy_cluster: ClusterStack, tmp_path: Path) -> None:
    dbproxy_cluster.reset()
    with ProxyProcess(dbproxy_cluster) as proxy:
        merge_under_traffic(dbproxy_cluster, dbproxy_cluster.write_config(), [proxy], tmp_path)
