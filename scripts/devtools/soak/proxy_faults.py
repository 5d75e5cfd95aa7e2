"""Faults of the proxies and of the file server: ends, reloads, upgrades. One thread."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from dbproxy.errors import StartupError
from dbproxy.testing.file_server import Faults as FileFaults
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.waiting import eventually
from devtools.soak.faults import EVERYTHING, Fault, Scene

STOP_LIMIT = 10.0
"""Seconds in which a proxy must end after SIGTERM; its StopGrace is shorter."""

RELOAD_LIMIT = 30.0
"""Seconds in which a reload must be over, on a busy machine."""


class ProxyFaults:
    """``pool_moves``: keys with several values each, by which a reload moves pools to other addresses of the same servers."""

    def __init__(self, scene: Scene, pool_moves: Mapping[str, Sequence[object]]) -> None:
        self._scene = scene
        self._pool_moves = pool_moves
        self._restarted = scene.restarted

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [
            Fault(self._stop_proxy),
            Fault(self._kill_proxy),
            Fault(self._reload_proxies, EVERYTHING),
            Fault(self._upgrade_proxy, EVERYTHING),
            Fault(self._break_file_server),
        ]

    def _stop_proxy(self) -> None:
        self._restarted.terminate()
        try:
            status = self._restarted.wait(STOP_LIMIT)
            if status:
                self._scene.problems.append(f"SIGTERM ended the proxy with status {status}")
        except TimeoutError as error:
            self._scene.problems.append(str(error))
            self._restarted.kill()
        self._restarted.start()

    def _kill_proxy(self) -> None:
        self._restarted.kill()
        self._scene.sleep(0, 0.5)
        self._restarted.start()

    def _reload_proxies(self) -> None:
        """Change keys of both, of the one that is restarted also those by which pools move."""
        rng = self._scene.rng
        for proxy in (self._scene.steady, self._restarted):
            changes: dict[str, object] = {
                "MaxBatchSize": rng.choice((32, 64, 128)),
                "SyncInterval": rng.choice((1, 2)),
                "token_maxconncnt": rng.choice((12, 16)),
                "teamtalk_slave_maxconncnt": rng.choice((12, 16)),
            }
            if proxy is self._restarted:
                changes["ThreadNum"] = rng.randint(12, 20)  # of the other one the threads are counted
                moved = rng.sample(sorted(self._pool_moves), rng.randint(0, len(self._pool_moves)))
                changes |= {key: rng.choice(self._pool_moves[key]) for key in moved}
            self._reload(proxy, changes)

    def _reload(self, proxy: ProxyProcess, changes: Mapping[str, object]) -> None:
        before = len(proxy.log())
        proxy.change_config(changes)
        proxy.signal(signal.SIGHUP)
        if not eventually(lambda: " configuration " in proxy.log()[before:], True, RELOAD_LIMIT):
            self._scene.problems.append(f"{proxy.directory.name} did not reload within {RELOAD_LIMIT:g} s")
        for line in proxy.log()[before:].splitlines():
            if "configuration not reloaded" in line:
                self._scene.problems.append(f"{proxy.directory.name}: {line}")

    def _upgrade_proxy(self) -> None:
        try:
            self._restarted.upgrade()
        except StartupError as error:
            self._scene.problems.append(str(error))

    def _break_file_server(self) -> None:
        files = self._scene.files
        files.faults = self._scene.rng.choice(
            (FileFaults(drop=True), FileFaults(status=500), FileFaults(garbage=True), FileFaults(error_code=1), FileFaults(delay=0.5))
        )
        self._scene.sleep(1, 3)
        files.faults = FileFaults()
