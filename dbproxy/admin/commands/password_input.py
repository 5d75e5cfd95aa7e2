"""How a command gets a new password: typed twice at the terminal, from the standard input, or generated. Never from an argument, which all
users of the system can read. The main thread.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from dbproxy.admin.commands.frame import print_json, printable
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.output import write_line

_LONGEST_LINE = 4096


def add_password_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the password comes from."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("-g", "--generate-password", action="store_true", help="generate the password, and show it once")
    ways.add_argument("--password-stdin", action="store_true", help="read the password from the first line of the standard input")


def password_from(options: argparse.Namespace, name: str) -> str | None:
    """Return the password for ``name``; None: it is to be generated.

    Raises:
        RefusedError: there is none, or the two that were typed differ.

    """
    if options.generate_password:
        return None
    if options.password_stdin:
        try:
            line = sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n") if sys.stdin is not None else ""
        except UnicodeDecodeError:
            raise RefusedError("the first line of the standard input is no text; it must be the password") from None
        if not line:
            raise RefusedError("the first line of the standard input is empty; it must be the password")
        return line
    if sys.stdin is None or not sys.stdin.isatty():
        raise RefusedError("there is no terminal to ask for the password; use --generate-password or --password-stdin")
    password = getpass.getpass(f"password for {name}: ")
    if getpass.getpass("the same again: ") != password:
        raise RefusedError("the two passwords differ")
    return password


def print_saved(name: str, text: str, generated: str | None, document: object | None) -> None:
    """Print what was done, and the generated password for ``name`` (None: it was not generated); or, with ``--json``, ``document``. The
    one place where the password is shown, and nothing else keeps it.

    Raises:
        AdminError: it could not be printed.

    """
    if document is not None:
        written = print_json(document)
    else:
        written = write_line(sys.stdout, "\n".join([printable(text), *([f"password: {generated}"] if generated else [])]))
    if generated and not written:
        raise AdminError(f"{text}; but the password could not be printed, so give {name} another one with the command passwd")
