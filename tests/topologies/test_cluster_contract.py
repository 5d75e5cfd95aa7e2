"""On a Redis Cluster the proxy answers and stores what it does on one Redis, and every key is on the node that has its slot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replay import Replay, differences

from dbproxy.testing import ClusterStack, FileServer, ProxyProcess, seed
from dbproxy.testing.waiting import eventually

RECORDINGS = Path(__file__).parents[1] / "conformance" / "recordings"
RECORDED_SITE = "127.0.0.1:18700"
SHORT = {"single_unread_and_read", "group_remove_then_rejoin", "group_read_ack", "group_shield", "device_token_push_count"}
"""What uses Redis most; CI has no time for the others."""


def cases() -> Iterator[Any]:
    for name in ("original", "beyond"):
        for case in json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")):
            if not any("wait_tick" in step for step in case["steps"]):
                yield pytest.param(case, id=case["name"], marks=() if case["name"] in SHORT else pytest.mark.long)


@pytest.fixture(scope="module")
def site() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture(scope="module")
def replay(dbproxy_cluster: ClusterStack, site: FileServer) -> Iterator[Replay]:
    """A proxy whose background sync runs once at its start and then never again, so that it cannot get between two steps."""
    dbproxy_cluster.reset()
    with ProxyProcess(dbproxy_cluster, {"MsfsSite": site.site, "SyncInterval": 3600, "StopGrace": 1}) as proxy:
        with dbproxy_cluster.redis() as client:
            assert eventually(lambda: client.exists("last_update_group"), 1, timeout=10) == 1
        yield Replay(dbproxy_cluster, proxy.client)


@pytest.mark.parametrize("case", list(cases()))
def test_recording(case: dict[str, Any], replay: Replay, site: FileServer) -> None:
    case = json.loads(json.dumps(case).replace(RECORDED_SITE, site.site))
    case.pop("after_tick", None)
    complaints = differences(case["expect"], replay.run(case))
    assert not complaints, "\n".join(complaints)


@pytest.mark.long
def test_every_key_is_where_its_slot_is(dbproxy_cluster: ClusterStack) -> None:
    stack = dbproxy_cluster
    stack.reset()
    seed.group(stack, 9, [1, 2, 3])
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        for sender in range(1, 10):
            assert client.send_message(sender, sender + 1).msg_id == 1
        assert client.send_group_message(1, 9).msg_id == 1
    masters = stack.masters()
    keys = {node.port: node.ask("KEYS", "*") for node in masters}
    assert all(keys.values()), "a master has no keys"
    assert {port: [key for key in found if stack.owner(key).port != port] for port, found in keys.items()} == {port: [] for port in keys}
