"""The command dbproxy-ctl: command line → exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from dbproxy import __version__
from dbproxy.errors import ConfigError, ControlRefusedError
from dbproxy.ops.ctl_client import NoAnswerError, NoProxyError, ask, find_socket
from dbproxy.ops.ctl_view import View
from dbproxy.ops.ctl_views import VIEWS

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_NO_PROXY = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 done, 1 the proxy has refused or failed or does not answer, 2 mistake in the command line or in the configuration, 3 no proxy there.
    """
    options = _parser().parse_args(argv)
    view: View = options.view
    try:
        _run(view, options)
    except BrokenPipeError:
        # Whoever read our output has enough (head, less); what the interpreter flushes at its end must not complain either.
        _drop_output()
    except _OutputError as error:
        _drop_output()
        return _complain(f"the output cannot be written: {error}", EXIT_REFUSED)
    except KeyboardInterrupt:
        return EXIT_OK if view.endless else EXIT_REFUSED
    except NoProxyError as error:
        return _complain(str(error), EXIT_NO_PROXY)
    except ConfigError as error:
        return _complain(str(error), EXIT_USAGE)
    except (ControlRefusedError, NoAnswerError) as error:
        return _complain(str(error), EXIT_REFUSED)
    return EXIT_OK


def _run(view: View, options: argparse.Namespace) -> None:
    path = find_socket(options.socket, options.config)
    show = view.printer(options)
    for item in ask(path, {"command": view.name, **view.request(options)}, view.silence(options)):
        try:
            text = json.dumps(item, ensure_ascii=False) if options.json else show(item)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise NoAnswerError(
                f"{path}: the answer is not understood, so the proxy is of another version than this command ({__version__}); "
                "--json shows it as it is"
            ) from error
        if text:
            _write(text)


class _OutputError(Exception):
    """What is to be shown cannot be written."""


def _write(text: str) -> None:
    stream: TextIO | None = sys.stdout  # None if the descriptor is closed
    if stream is None:
        raise _OutputError("standard output is closed")
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _OutputError(error.strerror) from error


def _drop_output() -> None:
    stream: TextIO | None = sys.stdout
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(text: str, code: int) -> int:
    stream: TextIO | None = sys.stderr
    if stream is not None:
        stream.write(f"dbproxy-ctl: {text}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-ctl",
        description="Looks into a running db_proxy_server and steers it, through its control socket (AdminSocket).",
        epilog="Exit status: 0 done, 1 the proxy has refused or failed or does not answer, 2 mistake in the command line or the "
        "configuration, 3 no proxy there. docs/CONTROL.md explains every command.",
    )
    version = f"dbproxy-ctl {__version__}"
    parser.add_argument("-v", "--version", action="version", version=version, help="print the version and exit")
    _add_common(parser, suppress=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for view in VIEWS:
        command = commands.add_parser(view.name, help=view.help, description=view.help)
        _add_common(command, suppress=True)
        view.add_arguments(command)
        command.set_defaults(view=view)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, suppress: bool) -> None:
    """Add the options that may stand before and after the command; the latter must not undo the former."""
    default = argparse.SUPPRESS if suppress else None
    where = parser.add_mutually_exclusive_group()
    usual = "the control socket (default: as dbproxyserver.conf in the working directory says)"
    where.add_argument("--socket", metavar="PATH", default=default, help=usual)
    where.add_argument("--config", metavar="PATH", default=default, help="the configuration file whose AdminSocket names the socket")
    off = argparse.SUPPRESS if suppress else False
    parser.add_argument("--json", action="store_true", default=off, help="print the answer as JSON, one document a line")


if __name__ == "__main__":
    sys.exit(main())
