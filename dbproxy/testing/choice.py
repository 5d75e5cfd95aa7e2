"""Which program is tested: this package's proxy, or another one that somebody has chosen."""

from __future__ import annotations

import os
import shlex
import shutil

from dbproxy.errors import StartupError

PROXY_COMMAND = "DBPROXY_COMMAND"
"""Environment variable: the command line of the proxy that the harness starts instead of this package's, quoted as for a shell. An
environment variable, so that the processes that a test starts test the same program.
"""


def choose_proxy(command: str) -> None:
    """Let every :class:`~dbproxy.testing.ProxyProcess` of this process and its children run this command line; empty: this package's proxy.

    Raises:
        StartupError: the first word is no program that can be run, or the quotes do not match.

    """
    words = split_command(command)
    os.environ[PROXY_COMMAND] = shlex.join(words)


def chosen_proxy() -> tuple[str, ...]:
    """Return the words of the command line that was chosen, none for this package's proxy.

    Raises:
        StartupError: the environment variable cannot be used.

    """
    return split_command(os.environ.get(PROXY_COMMAND, ""))


def split_command(command: str) -> tuple[str, ...]:
    """Split a command line into words, the first with its full path, because the program is started in another directory.

    Raises:
        StartupError: as ``choose_proxy``.

    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise StartupError(f"{command}: {error}") from None
    if not words:
        return ()
    found = shutil.which(words[0])
    if found is None:
        raise StartupError(f"{words[0]} is not a program that can be run")
    return (os.path.abspath(found), *words[1:])  # noqa: PTH100 - resolve() would follow links, and some programs depend on their name
