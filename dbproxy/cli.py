"""The command db_proxy_server: command line → exit code. Everything here belongs to the main thread."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from dbproxy import __version__, log
from dbproxy.config import Config, load_config, unknown_key_warnings
from dbproxy.errors import ConfigError, DbproxyError, StartupError

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_CONFIG = 2
EXIT_START = 3

DEFAULT_CONFIG = "dbproxyserver.conf"
PID_FILE = "server.pid"

_log = logging.getLogger(__name__)


class Service(Protocol):
    """What the command needs of the application."""

    def start(self) -> None:
        """Open everything up to the listening sockets; raises ``StartupError``."""

    def run(self) -> int:
        """Serve until stopped; returns the exit code."""

    def request_stop(self) -> None:
        """Make ``run`` come to its end; may be called by a signal handler at any moment."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 clean stop, 1 unexpected error, 2 mistake in configuration or command line, 3 a backend or port that the start needs is not to be had.
    """
    options = _parser().parse_args(argv)
    if options.version:
        print(f"db_proxy_server {__version__}")
        return EXIT_OK
    try:
        config = load_config(options.config)
        if options.check_config:
            print(f"{options.config}: ok")
            for warning in unknown_key_warnings(config):
                print(f"{options.config}: warning: {warning}")
            return EXIT_OK
        log.configure(config.log_level, config.log_file)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EXIT_CONFIG
    for warning in unknown_key_warnings(config):
        _log.warning("%s: %s", options.config, warning)
    return serve(config, _application)


def serve(config: Config, create: Callable[[Config], Service]) -> int:
    """Start what ``create`` makes of ``config``, serve until a signal stops it, and return the exit code."""
    _log.info("db_proxy_server %s, pid %d, starts", __version__, os.getpid())
    try:
        service = create(config)
        _install_signal_handlers(service.request_stop)  # a stop that is asked for during the start happens right after it
        service.start()
        # Not before: a start that fails because another proxy has the port must leave that one's pid alone.
        write_pid(Path(PID_FILE))
        return service.run()
    except (StartupError, ConfigError) as error:
        _fail(config, "cannot start: %s", error)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_START
    except Exception as error:  # noqa: BLE001 - the last resort: what happened must be in the log
        _fail(config, "unexpected error: %s", error, trace=True)
        return EXIT_UNEXPECTED


def write_pid(path: Path) -> None:
    """Write the process id to ``path`` so that a reader never sees half of it; a failure is logged, no more."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(f"{os.getpid()}\n", encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        _log.warning("%s cannot be written: %s", path, error.strerror)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="db_proxy_server", description="TeamTalk's database proxy.")
    where = "configuration file (default: %(default)s in the working directory)"
    parser.add_argument("--config", metavar="PATH", default=DEFAULT_CONFIG, help=where)
    parser.add_argument("--check-config", action="store_true", help="list every mistake in the configuration file and exit")
    parser.add_argument("-v", "--version", action="store_true", help="print the version and exit")
    return parser


def _application(config: Config) -> Service:
    # Imported late: --version and --check-config need none of the drivers.
    from dbproxy.app import Application

    return Application(config)


def _fail(config: Config, message: str, error: Exception, *, trace: bool = False) -> None:
    # What a foreign error says or shows may be a value of the configuration, and so a password.
    shown = error if isinstance(error, DbproxyError) else type(error).__name__
    _log.critical(message, shown, exc_info=error if trace else None)
    if config.log_file:  # who typed the command looks at the terminal first
        print(f"db_proxy_server: {message % shown}", file=sys.stderr)


def _install_signal_handlers(request_stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT: the first asks for a stop, the second ends the process at once."""
    asked = False

    def stop(signum: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + signum)
        asked = True
        request_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
