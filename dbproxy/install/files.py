"""The files of a directory for a proxy: what is in them, and how they are written without overwriting anything that was there."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import sys
import sysconfig
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

CONFIG = "dbproxyserver.conf"
UNITS = ("dbproxy.service", "dbproxy@.service", "dbproxy-admin.service")

PLAIN, PRIVATE = 0o644, 0o640
"""Modes of files that everybody may read, and of those that only their owner and the group of the service may."""

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./+@:-]*\Z")


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its name in the directory, its text and its mode."""

    name: str
    text: str
    mode: int = PLAIN


def shipped(name: str) -> str:
    """Return the text of a file that comes with the package."""
    package = "dbproxy" if name == "schema.sql" else "dbproxy.install"
    folder = resources.files(package)
    return (folder if package == "dbproxy" else folder / "data").joinpath(name).read_text(encoding="utf-8")


def static_files(directory: Path, commands: Path, user: str) -> list[File]:
    """Return the files that do not depend on the settings; in the units stand ``directory``, the directory of the commands and the user."""
    files = [File(name, shipped(name)) for name in ("schema.sql", "indexes.sql")]
    values = {"@DIR@": str(directory), "@BINDIR@": str(commands), "@USER@": user}
    for name in UNITS:
        text = shipped(name)
        for mark, value in values.items():
            text = text.replace(mark, value)
        files.append(File(name, text))
    return files


def is_plain(path: Path) -> bool:
    """Whether a path can stand in a unit and in a configuration as it is: absolute, without blanks, ``%``, ``#`` and ``$``."""
    return _PLAIN_PATH.match(str(path)) is not None


def command_directory() -> Path:
    """Return where the commands of this installation are: the directory of the running one, or that of the interpreter's scripts."""
    for folder in (Path(sys.argv[0]).absolute().parent, Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if os.access(folder / "db_proxy_server", os.X_OK):
            return folder
    return Path(sysconfig.get_path("scripts"))


def write(directory: Path, file: File, *, force: bool) -> bool:
    """Write the file and return True; False if there is one of this name and ``force`` does not say to replace it.

    A reader never sees half a file, nor does one see a private file with another mode.

    Raises:
        OSError: it cannot be written; what was there is still there.

    """
    path = directory / file.name
    if not force and os.path.lexists(path):
        return False
    temporary = directory / f".{file.name}.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(file.text)
            os.fchmod(stream.fileno(), file.mode)
        if force:
            temporary.replace(path)
            return True
        try:
            path.hardlink_to(temporary)  # unlike a rename, it replaces nothing that somebody has made meanwhile
        except FileExistsError:
            return False
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def give_to_group(path: Path, user: str) -> bool:
    """Let the group of ``user`` read a private file; False if there is no such user or we may not."""
    try:
        os.chown(path, -1, pwd.getpwnam(user).pw_gid)
    except (KeyError, OSError):
        return False
    return True


def group_of(user: str) -> str | None:
    """Return the name of the user's group; None if there is no such user (yet)."""
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return None
