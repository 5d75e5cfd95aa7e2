"""Where passwords come from: a file, the environment, or whoever sits at the terminal. Never the command line, which everybody can read."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

MAX_LENGTH = 4096
"""Bytes of a file that is read."""


class PasswordError(ValueError):
    """There is no password; the text says how to give one."""


def read_secret(path: Path) -> str:
    """Return the first line of a file.

    Raises:
        PasswordError: it cannot be read, is empty, or is no text.

    """
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_LENGTH).decode().splitlines()
    except OSError as error:
        raise PasswordError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PasswordError(f"{path}: is no UTF-8 text") from None
    if not lines or not lines[0]:
        raise PasswordError(f"{path}: the first line is empty")
    return lines[0]


def password_of(user: str, file: Path | None, variable: str, option: str, environment: Mapping[str, str]) -> str:
    """Return the password of ``user``: from ``file``, from the environment's ``variable``, or asked for at the terminal.

    Raises:
        PasswordError: none of these has it. ``option`` is named as the way to give a file.

    """
    if file is not None:
        return read_secret(file)
    if variable in environment:
        return environment[variable]
    if sys.stdin is None or not sys.stdin.isatty():
        raise PasswordError(f"no password for {user}: give a file with {option}, or set {variable}")
    return getpass.getpass(f"password of {user}: ")
