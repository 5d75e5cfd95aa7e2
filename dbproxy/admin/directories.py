"""Directories in which dbproxy-admin keeps what others must neither read nor make up: accounts, the audit log, archives; and locks of
files in them. Any thread.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from dbproxy.admin.errors import AdminError


def make_private_directory(path: Path) -> None:
    """Make a directory for its owner alone, if it is missing, and check that not everybody may put files into it: who makes the files that
    are read there has what they say, such as an account, or an archive whose messages are to be removed from the database.

    Raises:
        AdminError: everybody may write there.
        OSError: it cannot be made.

    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH:
        raise AdminError(
            f"everybody may write into the directory {path} (mode {mode:04o}), and could make up what is read there; "
            "use a directory of dbproxy-admin alone, or take the permission away (chmod o-w)"
        )


def open_locked(path: Path, flags: int) -> int:
    """Open a file for its owner alone and lock it; return its descriptor, which has the lock until it is closed.

    Raises:
        BlockingIOError: another process has the lock.
        AdminError: the file system has no locks.
        OSError: the file cannot be opened.

    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        raise AdminError(f"{path} cannot be locked: {error.strerror}") from None
    return descriptor
