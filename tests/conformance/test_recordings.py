"""Every recorded case: what the original answered and stored, and where this proxy is better on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replay import Replay, differences

from dbproxy.testing import FileServer, ProxyProcess, Stack
from dbproxy.testing.waiting import eventually

RECORDED_SITE = "127.0.0.1:18700"
"""The file server's address in the recordings; ours listens on a free port instead."""

CASES = [
    pytest.param(case, id=case["name"])
    for name in ("original", "beyond")
    for case in json.loads((Path(__file__).parent / "recordings" / f"{name}.json").read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def site() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture(scope="module")
def quiet_replay(dbproxy_stack: Stack, site: FileServer) -> Iterator[Replay]:
    """A proxy whose background sync runs once at its start and then never again, so that it cannot get between two steps."""
    dbproxy_stack.reset()
    with ProxyProcess(dbproxy_stack, {"MsfsSite": site.site, "SyncInterval": 3600, "StopGrace": 1}) as proxy:
        with dbproxy_stack.redis("unread") as client:
            assert eventually(lambda: client.exists("last_update_group"), 1, timeout=10), (
                "the background group sync does not run at the start"
            )
        yield Replay(dbproxy_stack, proxy.client)


@pytest.fixture
def ticking_replay(dbproxy_stack: Stack, site: FileServer) -> Iterator[Replay]:
    """A proxy whose background sync runs often enough to be waited for; it must be gone before other cases go on."""
    with ProxyProcess(dbproxy_stack, {"MsfsSite": site.site, "SyncInterval": 1.5, "StopGrace": 1}) as proxy:
        yield Replay(dbproxy_stack, proxy.client)


@pytest.mark.parametrize("case", CASES)
def test_recording(case: dict[str, Any], request: pytest.FixtureRequest, site: FileServer) -> None:
    case = json.loads(json.dumps(case).replace(RECORDED_SITE, site.site))
    if any("wait_tick" in step for step in case["steps"]):
        replay: Replay = request.getfixturevalue("ticking_replay")
    else:
        replay = request.getfixturevalue("quiet_replay")
        case.pop("after_tick", None)
    complaints = differences(case["expect"], replay.run(case))
    assert not complaints, "\n".join(complaints)
