"""A proxy as a process whose configuration file tests change while it runs."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.waiting import poll

DONE = " configuration "
"""Stands in the line that ends every reload: "configuration reloaded: ..." or "configuration not reloaded, ..."."""


class ReloadingProxy(ProxyProcess):
    """``keys`` are those of its file that differ from the stack's; None leaves a key out. ``directory`` is its working directory."""

    def __init__(self, stack: Stack, keys: Mapping[str, object] | None = None, directory: Path | None = None) -> None:
        self.keys: dict[str, object] = {"StopGrace": 1, **(keys or {})}
        super().__init__(stack, self.keys, directory=directory)

    def write(self, changes: Mapping[str, object] | None = None) -> None:
        """Write its file anew, with these keys changed for good."""
        self.keys |= changes or {}
        self._stack.write_config(self.config_path, {"ListenPort": self.port, **self.keys})

    def reload(self, changes: Mapping[str, object] | None = None, *, log: Path | None = None, timeout: float = 30) -> str:
        """Change its file, send SIGHUP and return what the reload says in the end, from its time stamp on cut off; ``log``: the file in
        which it says so. TimeoutError when it says nothing.
        """
        before = len(self.reports(log))
        self.write(changes)
        self.signal(signal.SIGHUP)
        reports = poll(lambda: self.reports(log), lambda lines: len(lines) > before, timeout)
        if len(reports) == before:
            raise TimeoutError(f"no reload within {timeout:g} s; the log:\n{self.log(last=25)}")
        return reports[before]

    def reports(self, log: Path | None = None) -> list[str]:
        """What all reloads so far have said, one line each."""
        text = self.log() if log is None else log.read_text(encoding="utf-8") if log.exists() else ""
        return [line[line.index(DONE) + 1 :] for line in text.splitlines() if DONE + "reloaded" in line or DONE + "not reloaded" in line]
