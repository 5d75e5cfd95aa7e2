"""The reaper: a process that kills the servers of a test run and removes their directories when the run ends, however it ends.

A test run that is killed with SIGKILL cannot clean up, and PR_SET_PDEATHSIG does not help: it fires when the *thread* that forked ends,
and servers are often started from a helper thread. So one small process per test run holds the reading end of a pipe, and only the run
holds the writing end. At the end of the pipe the reaper kills every process that it watches and removes every directory it was given.

This file is the program of the reaper (``python reaper.py``, standard library only) and, imported, its client.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def start_time(pid: int) -> int:
    """Return when process ``pid`` started, in clock ticks since boot; 0 when there is no such process any more.

    A pid may be reused by another process; together with the start time it identifies one process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])  # a zombie has ended


class Reaper:
    """Client of the reaper process, which the first call starts. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, pid: int) -> None:
        """Kill process ``pid`` when this process ends first."""
        self._send({"do": "watch", "pid": pid, "start": start_time(pid)})

    def release(self, pid: int) -> None:
        """Stop watching process ``pid``: it has ended."""
        self._send({"do": "release", "pid": pid})

    def remove_directory(self, path: Path) -> None:
        """Remove the tree ``path`` when this process ends before it calls :meth:`keep_directory`."""
        self._send({"do": "remove", "path": str(path)})

    def keep_directory(self, path: Path) -> None:
        """Do not remove a directory that :meth:`remove_directory` named."""
        self._send({"do": "keep", "path": str(path)})

    def close(self) -> None:
        """End the reaper process; it first kills what is still watched."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError):
                process.communicate(timeout=30)

    def _send(self, command: dict[str, object]) -> None:
        line = json.dumps(command).encode() + b"\n"
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                # a session of its own: neither Ctrl-C nor the end of a terminal or process group may end it before it has cleaned up
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
                self._owner = os.getpid()
                atexit.register(self.close)
            pipe = self._process.stdin
            if pipe is None:
                raise AssertionError("the reaper was started without a pipe")
            pipe.write(line)
            pipe.flush()


REAPER = Reaper()
"""The reaper of this process."""


def main() -> None:
    """Run the reaper: read commands from stdin until it ends, then kill and remove."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, int] = {}
    directories: set[str] = set()
    for line in sys.stdin.buffer:
        command = json.loads(line)
        if command["do"] == "watch":
            processes[command["pid"]] = command["start"]
        elif command["do"] == "release":
            processes.pop(command["pid"], None)
        elif command["do"] == "remove":
            directories.add(command["path"])
        elif command["do"] == "keep":
            directories.discard(command["path"])
    for pid, started in processes.items():
        if started and start_time(pid) == started:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(started and start_time(pid) == started for pid, started in processes.items()) and time.monotonic() < deadline:
        time.sleep(0.02)  # a server that has not ended yet may write into a directory that is being removed
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
