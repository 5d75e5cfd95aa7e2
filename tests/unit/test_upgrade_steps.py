"""The steps of an upgrade with a new process that does as it should, and a reactor that has other things to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dbproxy
from dbproxy.handover import upgrade
from dbproxy.handover.channel import Channel
from dbproxy.handover.new_process import NewProcess
from dbproxy.handover.service import Suspended
from dbproxy.handover.state import HandoverState
from dbproxy.handover.upgrade import Upgrade

NEW_PROCESS = """
import time
from dbproxy.handover.state import HandoverState
from dbproxy.handover.takeover import channel_from_environment
channel = channel_from_environment()
channel.receive("hello")
channel.send("ready", {"version": "1"})
HandoverState.receive(channel)
channel.send("taken")
channel.receive("serve")
channel.send("serving")
time.sleep(60)
"""


class Service:
    """What is alive in a proxy: nothing."""

    def listening_addresses(self) -> list[tuple[str, str, int]]:
        return []

    def suspend(self) -> Suspended:
        return Suspended(HandoverState(0), ())


class Reactor:
    """Calls what it is asked to in a thread, after the seconds that are next in ``delays``."""

    def __init__(self, *delays: float) -> None:
        self._delays = list(delays)

    def call_soon(self, function: Callable[[], None]) -> None:
        threading.Timer(self._delays.pop(0), function).start()


@pytest.mark.parametrize("fails", [False, True])
def test_a_new_process_that_serves_is_not_ended_however_long_the_old_one_takes_to_let_go(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(upgrade, "TRANSFER_TIMEOUT", 0.3)
    monkeypatch.setattr(upgrade, "PROBATION", 0.01)
    taken: list[subprocess.Popen[bytes]] = []

    def handed_over(channel: Channel, process: subprocess.Popen[bytes]) -> None:
        channel.close()
        taken.append(process)
        if fails:
            raise OSError("no descriptor is left")

    path = str(Path(dbproxy.__file__).parents[1])
    command = NewProcess([sys.executable, "-c", NEW_PROCESS], "/", {**os.environ, "PYTHONPATH": path})
    service: Any = Service()
    attempt = Upgrade(command, Reactor(0, 0, 1.0).call_soon, service, 10, handed_over)
    if fails:
        with pytest.raises(OSError, match="no descriptor"):
            attempt.run()
    else:
        attempt.run()
    (process,) = taken
    with process:
        assert process.poll() is None
        process.kill()
