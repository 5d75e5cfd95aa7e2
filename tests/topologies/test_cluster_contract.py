"""On a Redis Cluster the proxy answers and stores what it does on one Redis, and every key is on the node that has its slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dbproxy.conformance.programs import StartedProgram
from dbproxy.conformance.recordings import BETTER, recorded
from dbproxy.conformance.runner import Runner
from dbproxy.testing import ClusterStack, FileServer, ProxyProcess, seed

SHORT = {"single_unread_and_read", "group_remove_then_rejoin", "group_read_ack", "group_shield", "device_token_push_count"}
"""What uses Redis most; CI has no time for the others."""


def cases() -> Iterator[Any]:
    for case in recorded(BETTER):
        if not any("wait_tick" in step for step in case["steps"]):
            yield pytest.param(case, id=case["name"], marks=() if case["name"] in SHORT else pytest.mark.long)


@pytest.fixture(scope="module")
def runner(dbproxy_cluster: ClusterStack) -> Iterator[Runner]:
    with FileServer() as site, StartedProgram(dbproxy_cluster, (), site.site) as program:
        yield Runner(program, site.site, timeout=8)


@pytest.mark.parametrize("case", list(cases()))
def test_recording(case: dict[str, Any], runner: Runner) -> None:
    (result,) = runner.run([case])
    assert result.verdict == "agrees", "\n".join(result.problems)


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
