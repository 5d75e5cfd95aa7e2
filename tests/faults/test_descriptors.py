"""Running out of file descriptors: no spinning, the backends stay reachable, and peers come in again as soon as there is room."""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack

import pytest

from dbproxy.bench.usage import cpu_seconds
from dbproxy.testing import Client, ConnectionClosedError, ProxyProcess, Stack
from dbproxy.testing.proxy import limited
from dbproxy.testing.requests import message
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually
from devtools.process_resources import resources

INSTANCES = ("teamtalk_master", "teamtalk_slave", *POOLS)

SMALL_POOLS = {f"{instance}_maxconncnt": 2 for instance in INSTANCES}

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=["alice", "bob"])]


def stays_open(client: Client) -> bool:
    """Whether the proxy keeps this connection: it is answered, or closed at once."""
    try:
        return client.login("alice").result_code == 0
    except ConnectionClosedError:
        return False


def test_descriptors_are_kept_back_for_the_backends(stack: Stack) -> None:
    with ProxyProcess(stack, SMALL_POOLS, launcher=limited(140)) as proxy, ExitStack() as exits:
        assert eventually(lambda: "only 140 file descriptors: at most 74 connections instead of MaxConnections" in proxy.log(), True)
        peers = [exits.enter_context(proxy.client()) for _ in range(100)]
        staying = [peer for peer in peers if stays_open(peer)]
        assert len(staying) in (73, 74)  # the connection with which the harness saw that it listens may just be closing
        assert eventually(lambda: "connection refused: there are 74 already (MaxConnections)" in proxy.log(), True)
        stack.mariadb.restart()
        stack.redis_server.restart()
        for number, peer in enumerate(staying, start=1):  # every pool needs new connections now
            assert peer.send_message(1, 2).msg_id == number
        assert "Too many open files" not in proxy.log()
        staying[0].close()
        assert eventually(lambda: stays_open(exits.enter_context(proxy.client())), True)


def test_accepting_pauses_without_descriptors_and_is_resumed(stack: Stack) -> None:
    """The limit is taken away from a running proxy, as if something else in its process had used them up."""
    with ProxyProcess(stack, SMALL_POOLS) as proxy, proxy.client() as connected, ExitStack() as exits:
        assert connected.send_message(1, 2).msg_id == 1
        soft, hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        held = resources(proxy.pid, ()).descriptors
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (held + 5, hard))
        peers = [exits.enter_context(proxy.client()) for _ in range(30)]  # the system completes the connections, accepted or not
        assert eventually(lambda: "cannot accept connections: Too many open files" in proxy.log(), True)
        used, began = cpu_seconds([proxy.pid]), time.monotonic()
        while time.monotonic() < began + 2:
            assert connected.push_shield(1).user_id == 1
            time.sleep(0.1)
        assert cpu_seconds([proxy.pid]) - used < 0.5  # a loop that spins uses 2 s
        for peer in peers:
            peer.send(message(1, 2))
        accepted = [peer for peer in peers if not peer.silent(0.1)]
        waiting = [peer for peer in peers if peer not in accepted]
        assert 1 <= len(accepted) <= 5
        for peer in accepted:
            peer.close()
        assert eventually(lambda: any(not peer.silent(0.01) for peer in waiting), True)
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (soft, hard))
        ids = {peer.receive().message.msg_id for peer in waiting}  # type: ignore[attr-defined]
        assert len(ids) == len(waiting)
