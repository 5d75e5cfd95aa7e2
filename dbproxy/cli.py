"""The command db_proxy_server: command line → exit code. Everything here belongs to the main thread."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from dbproxy import __version__, log
from dbproxy.config import Config, key_warnings
from dbproxy.config_options import add_config_options, config_of
from dbproxy.errors import ConfigError, DbproxyError, StartupError, StopRequestedError

if TYPE_CHECKING:
    from dbproxy.handover.channel import Channel

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_CONFIG = 2
EXIT_START = 3

PID_FILE = "server.pid"

_log = logging.getLogger(__name__)


def _nobody(_reason: str) -> None:
    """There is nobody to tell."""


class Service(Protocol):
    """What the command needs of the application."""

    def start(self) -> None:
        """Open everything up to the listening sockets; raises ``StartupError``, or ``StopRequestedError`` when it was asked to stop."""

    def run(self) -> int:
        """Serve until stopped; returns the exit code."""

    def request_stop(self) -> None:
        """Make ``start`` or ``run`` come to its end; may be called by a signal handler at any moment."""

    def reload(self) -> None:
        """Read the configuration again and apply it, while it runs."""

    def upgrade(self) -> None:
        """Have another process take over; may be called by a signal handler at any moment."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have ``run`` call ``action``, not before ``start`` is over; may be called by a signal handler at any moment."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 clean stop, 1 unexpected error, 2 mistake in configuration or command line, 3 a backend or port that the start needs is not to be had.
    """
    _open_standard_descriptors()
    options = _parser().parse_args(argv)
    if options.version:
        print(f"db_proxy_server {__version__}")
        return EXIT_OK
    signals = Signals()
    if not options.check_config:
        signals.install()  # before the file is read: what changes in it after that is worth another look
    checks_only = options.check_config or options.check_backends
    predecessor, tell_failure = (None, _nobody) if checks_only else _predecessor()
    try:
        config = config_of(options)
        if options.check_config:
            print(f"{options.config}: ok")
            for warning in key_warnings(config):
                print(f"{options.config}: warning: {warning}")
            return EXIT_OK
        if options.check_backends:
            return _check_backends(config)
        log.configure(config.log_level, config.log_file)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        tell_failure(str(error))
        return EXIT_CONFIG
    for warning in key_warnings(config):
        _log.warning("%s: %s", options.config, warning)
    try:
        code = serve(config, partial(_application, _Source(options), predecessor), signals, tell_failure)
    finally:
        written = log.close()
    if not written:
        os._exit(code)  # whatever the interpreter flushes at its end would wait for the same file or pipe
    return code


def serve(
    config: Config, create: Callable[[Config], Service], signals: Signals | None = None, tell_failure: Callable[[str], None] = _nobody
) -> int:
    """Start what ``create`` makes of ``config``, serve until a signal stops it, and return the exit code. ``signals``: those that are
    handled already. ``tell_failure`` is told why it cannot start.
    """
    if signals is None:
        signals = Signals()
        signals.install()
    _log.info("db_proxy_server %s, pid %d, starts", __version__, os.getpid())
    try:
        service = create(config)
        signals.direct_to(service)
        service.start()
        # Not before: a start that fails because another proxy has the port must leave that one's pid alone.
        write_pid(Path(PID_FILE))
        return service.run()
    except StopRequestedError:
        _log.info("stopped before it was ready")
        return EXIT_OK
    except (StartupError, ConfigError) as error:
        _fail("cannot start: %s", error)
        tell_failure(str(error))
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_START
    except Exception as error:  # noqa: BLE001 - the last resort: what happened must be in the log
        _fail("unexpected error: %s", error, trace=True)
        return EXIT_UNEXPECTED


class Signals:
    """What signals do. This is the one place that decides it.

    SIGTERM and SIGINT: the first asks the service to stop, the second ends the process at once. SIGHUP: it reads its configuration again.
    SIGUSR2: another process takes over. SIGUSR1 would kill a process that does not handle it: it is logged. A handler only sets flags
    and wakes the service; what takes longer or needs a lock is done by the thread that serves. Main thread.
    """

    def __init__(self) -> None:
        self._service: Service | None = None
        self._stop_asked = False
        self._early: list[int] = []

    def install(self) -> None:
        """Handle signals from now on; what comes before ``direct_to`` is kept."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._other)

    def direct_to(self, service: Service) -> None:
        """Tell ``service`` of every signal, also of those that came before."""
        self._service = service
        if self._stop_asked:
            service.request_stop()
        while self._early:
            self._pass_on(service, self._early.pop(0))

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stop_asked:
            os._exit(128 + number)
        self._stop_asked = True
        if self._service is not None:
            self._service.request_stop()

    def _other(self, number: int, _frame: FrameType | None) -> None:
        if self._service is None:
            self._early.append(number)
        else:
            self._pass_on(self._service, number)

    @staticmethod
    def _pass_on(service: Service, number: int) -> None:
        if number == signal.SIGHUP:
            service.call_soon(service.reload)
            return
        if number == signal.SIGUSR2:
            service.upgrade()
            return
        service.call_soon(lambda: _log.warning("signal %s is ignored", signal.Signals(number).name))


def write_pid(path: Path) -> None:
    """Write the process id to ``path`` so that a reader never sees half of it; a failure is logged, no more."""
    # Nobody can put a link to another file where this one is made: its name cannot be foreseen, and it must not be there yet.
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    made = False
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        made = True
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        temporary.replace(path)
    except OSError as error:
        _log.warning("%s cannot be written: %s", path, error.strerror)
        if made:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _open_standard_descriptors() -> None:
    """Open the null device for those of the descriptors 0 to 2 that are closed: a socket that got their number would be read and
    written as stdin, stdout or stderr.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as error:
            if error.errno == errno.EBADF:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="db_proxy_server",
        description="TeamTalk's database proxy: takes the requests of the message servers, works on MySQL and Redis, and answers. It stays "
        "in the foreground and writes server.pid into its working directory. SIGTERM and SIGINT make it tell the message servers to turn "
        "elsewhere, answer what they have sent, and exit; a second one ends it at once.",
        epilog="Exit status: 0 stopped by a signal, 1 unexpected error, 2 the configuration or the command line cannot be used, "
        "3 a backend cannot be used or the address cannot be listened on.",
    )
    add_config_options(parser)
    parser.add_argument("--check-config", action="store_true", help="list every mistake in the configuration file and exit")
    parser.add_argument(
        "--check-backends", action="store_true", help="examine every backend, say what would go wrong, and exit (see dbproxy-doctor)"
    )
    parser.add_argument("-v", "--version", action="store_true", help="print the version and exit")
    return parser


def _check_backends(config: Config) -> int:
    # Imported late: the daemon does not need it.
    from dbproxy.doctor.cli import run

    return run(config)


class _Source:
    """Where the running proxy finds its configuration when it is to read it again: where the command line says."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    def load(self) -> Config:
        """Read the configuration."""
        return config_of(self._options)

    def open_log(self, file: str) -> log.LogTarget:
        """Open a log file."""
        return log.LogTarget(file)

    def set_log_level(self, level: str) -> None:
        """Write records from this level on."""
        log.set_level(level)


def _application(source: _Source, predecessor: Channel | None, config: Config) -> Service:
    # Imported late: --version and --check-config need none of the drivers.
    from dbproxy.app import Application
    from dbproxy.handover.new_process import NewProcess
    from dbproxy.notify import Notifier

    notifier = Notifier.from_environment()
    return Application(
        config,
        notifier,
        source,
        new_process=NewProcess.like_this_one(notifier.environment()),
        predecessor=predecessor,
        on_taken_back=lambda: write_pid(Path(PID_FILE)),
    )


def _predecessor() -> tuple[Channel | None, Callable[[str], None]]:
    """Return the channel to the process that is to be replaced by this one, if any, and what tells it that this one fails, and why."""
    from dbproxy.handover.takeover import channel_from_environment, tell_failure

    channel = channel_from_environment()
    return channel, partial(tell_failure, channel)


def _fail(message: str, error: Exception, *, trace: bool = False) -> None:
    # What a foreign error says or shows may be a value of the configuration, and so a password.
    shown = error if isinstance(error, DbproxyError) else type(error).__name__
    _log.critical(message, shown, exc_info=error if trace else None)
