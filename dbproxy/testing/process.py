"""A child process with a log file: the common base of the private servers and of the proxy under test."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dbproxy.errors import StartupError
from dbproxy.testing.reaper import REAPER
from dbproxy.testing.successor import Successor


class NotReadyError(StartupError):
    """A program was started and runs, but was not ready in time."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now. Another process may take it before the caller does, who has to try another then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


LISTENING_PORTS = range(15_000, 32_000)
"""Ports that no connection gets by itself, as Linux is set up."""


def listening_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, for a server that is told its port long before it listens: connections of other
    programs do not take it, other than one of ``free_port``.
    """
    for port in random.sample(LISTENING_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return free_port()


def process_state(pid: int) -> str:
    """Return the letter for the state of a process, as ps shows it (R, S, D, T, Z …); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


class ChildProcess:
    """A process that writes its output into ``log_path`` and ends with this process, even when this process is killed.

    Not thread safe: one thread at a time may use an instance, but it need not be always the same one.
    """

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | Successor | None = None

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when it was never started."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal number when a signal killed it; None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether the process exists (it may be frozen)."""
        return self._process is not None and self._process.poll() is None

    def log(self, last: int = 0) -> str:
        """Return what the process wrote, or its ``last`` lines only; empty when there is no log file yet."""
        try:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-last:])

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._started().send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self.signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Suspend it with SIGSTOP: its connections stay open and nothing is answered, as on a machine that hangs."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen process with SIGCONT."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash would, and wait until it has ended."""
        if self._process is not None:
            self._process.kill()
            self.wait(30)

    def stop(self, timeout: float = 30) -> int:
        """Stop it cleanly with SIGTERM (thawed first) and return its exit status.

        After ``timeout`` seconds it is killed and TimeoutError is raised. 0 when it was never started.
        """
        if self._process is None:
            return 0
        if self.running:
            self.thaw()
            self.terminate()
        try:
            return self.wait(timeout)
        except TimeoutError:
            self.kill()
            raise

    def wait(self, timeout: float) -> int:
        """Wait until the process has ended and return its exit status; TimeoutError after ``timeout`` seconds."""
        process = self._started()
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} still runs after {timeout:g} s") from None
        REAPER.release(process.pid)
        return status

    def _started(self) -> subprocess.Popen[bytes] | Successor:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _spawn(self, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        with self.log_path.open("ab") as log:
            # a session of its own: Ctrl-C is for the program that started it, which then stops everything in the right order
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        REAPER.watch(self._process.pid)

    def _await_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Poll ``ready`` until it is true; StartupError with the end of the log when the process ends first, NotReadyError when
        ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while True:
            if not self.running:
                status = self.wait(1)
                raise StartupError(f"{self.name} ended at once with status {status}; the end of {self.log_path}:\n{self.log(last=25)}")
            if ready():
                return
            if time.monotonic() > deadline:
                self.kill()
                raise NotReadyError(f"{self.name} was not ready after {timeout:g} s; the end of {self.log_path}:\n{self.log(last=25)}")
            time.sleep(0.01)


def can_connect(host: str, port: int) -> bool:
    """Return whether a server accepts TCP connections at ``host``:``port``."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
