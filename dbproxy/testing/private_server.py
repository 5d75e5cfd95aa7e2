"""The common base of the private servers: :class:`PrivateServer`."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.errors import StartupError
from dbproxy.testing.process import ChildProcess, free_port
from dbproxy.testing.reaper import REAPER

if TYPE_CHECKING:
    from typing_extensions import Self

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where Debian installs servers; not on the PATH of an ordinary user


MYSQLD, REDIS_SERVER = "DBPROXY_MYSQLD", "DBPROXY_REDIS_SERVER"
"""Environment variables: the program that a private server runs, instead of the one that is installed. An environment variable, so that
the processes that a test starts use the same servers as the test.
"""


def choose_servers(mysqld: Path | str | None, redis_server: Path | str | None) -> None:
    """Let the private servers of this process and its children run these programs (MariaDB or MySQL, Redis or Valkey); None changes
    nothing. Call it before a server is started.

    Raises:
        StartupError: there is no such program.

    """
    for variable, program in ((MYSQLD, mysqld), (REDIS_SERVER, redis_server)):
        if program is None:
            continue
        found = shutil.which(program)
        if found is None:
            raise StartupError(f"{program} is not a program that can be run")
        os.environ[variable] = os.path.abspath(found)  # noqa: PTH100 - resolve() would follow links, and some programs depend on their name


def find_program(names: Sequence[str], package: str, variable: str | None = None) -> str:
    """Return the program that the environment variable ``variable`` names, or else the path of the first of ``names`` that is installed.

    Raises:
        StartupError: there is none; it names the Debian ``package``, or the variable.

    """
    chosen = os.environ.get(variable, "") if variable else ""
    if chosen:
        if shutil.which(chosen) is None:
            raise StartupError(f"{variable}={chosen}: not a program that can be run")
        return chosen
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise StartupError(f"{' or '.join(names)} is not installed; on Debian and Ubuntu: apt-get install {package}")


class PrivateServer(ChildProcess, ABC):
    """A server process with a directory and a port that stays the same over restarts.

    ``directory`` None means a new temporary one, removed by :meth:`close`; a directory that is given is kept, and one that already
    holds data is used again, unless ``keep`` says otherwise. ``port`` 0 means: the port that the directory was used with before, or any
    free one. One process at a time may use a directory. Not thread safe; any thread may call.
    """

    kind = "server"
    is_private = True
    """Whether it may be killed, stopped and frozen; False for one that somebody else runs."""
    start_timeout: float = 60
    """Seconds that a start may take before StartupError."""

    def __init__(self, directory: Path | str | None = None, *, port: int = 0, keep: bool | None = None) -> None:
        self.keep = directory is not None if keep is None else keep
        self._given = None if directory is None else Path(directory).resolve()
        self._directory: Path | None = None
        self._lock_file: int | None = None
        self._fixed_port = port
        self._port = port
        self._socket_directory: Path | None = None
        super().__init__(f"private {self.kind}", Path(os.devnull))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the port is 0 before the first start and does not change afterwards."""
        return "127.0.0.1", self._port

    @property
    def port(self) -> int:
        """The TCP port, 0 before the first start."""
        return self._port

    @property
    def directory(self) -> Path:
        """Where data, log and socket are; RuntimeError before the first start."""
        if self._directory is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._directory

    @property
    def unix_socket(self) -> Path:
        """The path of the unix socket; RuntimeError before the first start."""
        # the kernel allows 107 bytes, and the temporary directories of pytest may be longer
        return (self._socket_directory or self.directory) / f"{self.kind}.sock"

    def start(self) -> Self:
        """Start the server and wait until it answers; nothing happens when it runs. StartupError with the reason and the log otherwise."""
        if self.running:
            return self
        directory = self._claim_directory()
        self._install(directory)
        remembered = directory / "port"
        again = self._port  # a restart must use the same port
        if not self._port and remembered.exists():
            self._port = int(remembered.read_text())
        for attempt in range(5):
            self._port = self._port or free_port()
            try:
                self._spawn(self._command(directory), directory)
                self._await_ready(self._answers, self.start_timeout)
                break
            except StartupError:
                # the port was taken meanwhile, or the reaper is still killing the server of an earlier test run in this directory
                busy = any(word in self.log(last=60) for word in ("Address already in use", "Unable to lock", "Can't lock aria"))
                if not busy or attempt == 4 or (again and attempt == 3):
                    raise
                self.log_path.write_bytes(b"")
                time.sleep(0.2 * (attempt + 1))
                self._port = again
        remembered.write_text(f"{self._port}\n")
        return self

    def restart(self) -> None:
        """Stop cleanly and start again at the same port with the same data (Redis keeps data only with persistence)."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, unlock the directory, and remove it unless it is to be kept. May be called twice."""
        if self._directory is None:
            return
        if self.keep:
            self.stop()
        else:
            self.kill()
            shutil.rmtree(self._directory, ignore_errors=True)
            REAPER.keep_directory(self._directory)
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
            REAPER.keep_directory(self._socket_directory)
            self._socket_directory = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        self._directory = None
        self._process = None
        self._port = self._fixed_port

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _claim_directory(self) -> Path:
        if self._directory is not None:
            return self._directory
        directory = self._given or Path(tempfile.mkdtemp(prefix=f"dbproxy-{self.kind}-"))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.keep:
            REAPER.remove_directory(directory)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StartupError(f"another process runs a {self.name} in {directory}") from None
        self._lock_file = lock
        self._directory = directory
        self.log_path = directory / f"{self.kind}.log"
        if len(os.fsencode(directory)) > 80:
            self._socket_directory = Path(tempfile.mkdtemp(prefix="dbproxy-socket-"))
            REAPER.remove_directory(self._socket_directory)
        return directory

    def _install(self, directory: Path) -> None:
        """Create the data directory if there is none."""

    @abstractmethod
    def _command(self, directory: Path) -> list[str]:
        """Return the command line that serves ``directory``."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether the server can be used now."""
