"""The file of the control socket: made so that nobody else can connect, replaced when its proxy is dead, removed only while it is ours."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from dbproxy.errors import ControlSocketError, ControlSocketInUseError

BACKLOG = 64
LOCK_TIMEOUT = 2.0
"""Seconds to wait for another proxy that looks at the same file."""

_CREDENTIALS = struct.Struct("3i")


class ControlSocket:
    """A listening Unix socket at ``path``. One thread opens and closes it, another one may accept meanwhile."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._identity: tuple[int, int, int] | None = None

    def open(self, *, take_over: bool = False) -> None:
        """Bind and listen. A file that a dead proxy has left is replaced; with ``take_over`` also that of a proxy that listens.

        The file gets mode 0600 in the moment in which it is made. Two proxies that come at the same time cannot both find it free.

        Raises:
            ControlSocketError: another proxy listens there, there is another file, or it cannot be made.

        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(sock.fileno(), 0o600)  # Linux makes the file with the mode of the socket, so the process's umask need not change
            with _locked(Path(self.path).parent):
                self._make_room(take_over)
                sock.bind(self.path)
                self._identity = self._file_identity()
                sock.listen(BACKLOG)
        except ControlSocketError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise ControlSocketError(f"{self.path}: {error.strerror or error}") from None
        self._socket = sock

    @property
    def is_open(self) -> bool:
        """Whether it listens. Any thread."""
        return self._socket is not None

    def accept(self, timeout: float) -> socket.socket | None:
        """Return the next connection, None after ``timeout`` seconds; OSError when it has been closed or the system has no descriptor."""
        sock = self._socket
        if sock is None:
            raise OSError(errno.EBADF, "closed")
        sock.settimeout(timeout)
        try:
            return sock.accept()[0]
        except (TimeoutError, ConnectionAbortedError, InterruptedError):
            return None

    def close(self, *, keep_file: bool = False) -> None:
        """Stop listening and wake who accepts. The file is removed, unless another proxy has put its own there or ``keep_file``; then a
        second call removes it if it is still there.
        """
        sock, self._socket = self._socket, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self._identity is not None and not keep_file:
            with contextlib.suppress(OSError), _locked(Path(self.path).parent):
                if self._file_identity() == self._identity:
                    Path(self.path).unlink()
            self._identity = None

    def _file_identity(self) -> tuple[int, int, int] | None:
        """What tells the file from another one; with the time, because the number of an inode may be given again at once."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_ctime_ns

    def _make_room(self, take_over: bool) -> None:
        """Remove the file of a proxy that is dead, or that is being replaced."""
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ControlSocketError(f"{self.path}: there is a file that is no socket")
        if not take_over and is_listening(self.path):
            raise ControlSocketInUseError(f"{self.path}: another proxy listens there")
        Path(self.path).unlink(missing_ok=True)


def peer_uid(sock: socket.socket) -> int:
    """Return the user id of the process at the other end, as it was when it connected."""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def is_listening(path: str) -> bool:
    """Whether a process listens there, even one that hangs. What cannot be found out counts as yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        error = probe.connect_ex(path)
    return error not in (errno.ECONNREFUSED, errno.ENOENT)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, which all proxies take that make or remove a socket in it. Where it cannot be had there is none."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield  # no permission to read it: what follows will tell if there is none to write either
        return
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                    break
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
