"""How the process is started that takes over at an upgrade."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NewProcess:
    """The command, the directory in which this process was started, and the whole environment."""

    command: Sequence[str]
    directory: str
    environment: Mapping[str, str]

    @classmethod
    def like_this_one(cls, environment: Mapping[str, str]) -> NewProcess:
        """Return how this process was started. Where symbolic links lead is looked up at the upgrade, so that it starts the release that is
        installed then. ``environment``: variables beside those of this process.
        """
        return cls(_command(sys.orig_argv), _start_directory(), {**os.environ, **environment})


def _command(started_as: Sequence[str]) -> list[str]:
    """The command line with which the interpreter was started, for another interpreter."""
    interpreter, *arguments = started_as
    if arguments and not arguments[0].startswith("-") and os.access(arguments[0], os.X_OK):
        return arguments  # an installed script names its interpreter, and so its release, in its first line
    return [interpreter if "/" in interpreter else sys.executable, *arguments]


def _start_directory() -> str:
    """The working directory as it was named, which may be a symbolic link to a release."""
    actual, named = Path.cwd(), os.environ.get("PWD", "")
    with contextlib.suppress(OSError):
        if actual.samefile(named):
            return named
    return str(actual)
