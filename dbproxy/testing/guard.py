"""The guard: kills what this process started when this process dies, whatever it died of.

A test run that is killed with SIGKILL cannot clean up, and PR_SET_PDEATHSIG does not help either: it fires when the *thread* that
forked ends, and servers are often started from a helper thread. So one small process per test run holds the reading end of a pipe
whose only writing end is ours. When the pipe ends, the guard kills every process it was told to watch and removes every directory
it was told to remove.

The same file is the guard's program (``python guard.py``, standard library only) and, imported, its client.
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

    A pid alone may belong to somebody else by the time it is used; together with the start time it names one process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])  # a zombie that nobody has waited for is as good as gone


class Guard:
    """Client of the guard process. All methods may be called from any thread; the guard is started by the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, pid: int) -> None:
        """Kill process ``pid`` should this process die first."""
        self._tell({"do": "watch", "pid": pid, "start": start_time(pid)})

    def release(self, pid: int) -> None:
        """Forget process ``pid``: it has ended."""
        self._tell({"do": "release", "pid": pid})

    def remove_directory(self, path: Path) -> None:
        """Remove the tree ``path`` should this process die before it calls :meth:`keep_directory`."""
        self._tell({"do": "remove", "path": str(path)})

    def keep_directory(self, path: Path) -> None:
        """Forget a directory that :meth:`remove_directory` named."""
        self._tell({"do": "keep", "path": str(path)})

    def close(self) -> None:
        """End the guard process; it first kills what is still being watched."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError):
                process.communicate(timeout=30)

    def _tell(self, order: dict[str, object]) -> None:
        line = json.dumps(order).encode() + b"\n"
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                # a session of its own: neither Ctrl-C nor the end of a terminal or process group may reach it before it has done its duty
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
                raise AssertionError("the guard was started without a pipe")
            pipe.write(line)
            pipe.flush()


GUARD = Guard()
"""The one guard of this process."""


def main() -> None:
    """Run the guard: obey the orders on stdin until it ends, then kill and remove."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, int] = {}
    directories: set[str] = set()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if order["do"] == "watch":
            processes[order["pid"]] = order["start"]
        elif order["do"] == "release":
            processes.pop(order["pid"], None)
        elif order["do"] == "remove":
            directories.add(order["path"])
        elif order["do"] == "keep":
            directories.discard(order["path"])
    for pid, started in processes.items():
        if started and start_time(pid) == started:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(started and start_time(pid) == started for pid, started in processes.items()) and time.monotonic() < deadline:
        time.sleep(0.02)  # a server that is still dying may write into a directory that is being removed
    for path in directories:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
