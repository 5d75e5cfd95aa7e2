"""A proxy to test against, as a process of its own or inside this one: :class:`ProxyProcess` and :class:`InProcessProxy`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import dbproxy
from dbproxy.errors import StartupError
from dbproxy.testing import sign_of_life
from dbproxy.testing.choice import chosen_proxy
from dbproxy.testing.client import Client
from dbproxy.testing.process import ChildProcess, can_connect, free_port, process_state
from dbproxy.testing.reaper import REAPER
from dbproxy.testing.stack import Stack
from dbproxy.testing.successor import Successor, inherit_orphans, process_exists

if TYPE_CHECKING:
    from typing_extensions import Self

    from dbproxy.app import Application

END_VISIBLE_WITHIN = 2.0
"""Seconds for which a program that does not answer is given to end: its parent sees the end after its sockets have closed."""


def limited(descriptors: int) -> tuple[str, ...]:
    """Return the ``launcher`` of a :class:`ProxyProcess` with this hard limit of file descriptors."""
    return ("/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh")


def own_path() -> dict[str, str]:
    """The environment in which this package is found, though the working directory is another one; not for other people's programs."""
    path = [str(Path(dbproxy.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


class ProxyAddress(ABC):
    """Where a proxy of this module listens."""

    @property
    def host(self) -> str:
        """The address to connect to."""
        return "127.0.0.1"

    @property
    @abstractmethod
    def port(self) -> int:
        """The TCP port."""

    def client(self, *, timeout: float = 10, notices: bool = False) -> Client:
        """Return a new connection to it; the caller closes it."""
        return Client(self.host, self.port, timeout=timeout, notices=notices)


class ProxyProcess(ProxyAddress, ChildProcess):
    """A proxy as it runs in production: ``python -m dbproxy --config ...``, on a stack of stores, in a working directory of its own.

    ``overrides`` are keys of the configuration file that differ from :meth:`Stack.config`; without ``ListenPort`` it listens on a free
    port of 127.0.0.1. ``python_options`` go to the interpreter (``["-X", "dev"]``), ``arguments`` to the proxy, ``env`` into its
    environment. ``launcher`` is a command prefix that executes the interpreter (``["nice"]``, or :func:`limited`).
    ``directory`` is its working directory instead of a new one below the stack's.

    ``command`` is another program to run, with its arguments, which reads ``dbproxyserver.conf`` in its working directory as the original
    does; None: the one that :func:`choose_proxy` has chosen, or else this package's. Nothing more is expected of it than that it accepts
    connections on ListenPort; see :mod:`~dbproxy.testing.capabilities` for what else it can do.
    Not thread safe; any thread may call.
    """

    start_timeout: float = 30
    """Seconds that a start may take before StartupError."""

    def __init__(
        self,
        stack: Stack,
        overrides: Mapping[str, object] | None = None,
        *,
        python_options: Sequence[str] = (),
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
        directory: Path | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._command = chosen_proxy() if command is None else tuple(command)
        self.directory = directory or stack.new_directory("proxy")
        self.directory.mkdir(parents=True, exist_ok=True)
        super().__init__("proxy", self.directory / "proxy.log")
        self.config_path = self.directory / "dbproxyserver.conf"
        self._stack = stack
        self._overrides = dict(overrides or {})
        self._python_options = tuple(python_options)
        self._arguments = tuple(arguments)
        self._launcher = tuple(launcher)
        self._env = {"PYTHONUNBUFFERED": "1", **({} if self._command else own_path()), **(env or {})}
        self._port = int(str(self._overrides.get("ListenPort") or 0))
        self._fixed_port = bool(self._port)
        self.condition_at_error = ""
        """What ``condition`` was when an exception left the with block of this proxy, before it was stopped."""

    @property
    def port(self) -> int:
        """The TCP port, 0 before the first start and the same over restarts."""
        return self._port

    def start(self) -> Self:
        """Start it, unless it runs, and wait until it accepts connections; StartupError with its log when it does not start."""
        if self.running:
            return self
        for attempt in range(4):
            self._port = self._port or free_port()
            self._stack.write_config(self.config_path, {**self._overrides, "ListenPort": self._port})
            command = [*self._launcher, *self._program(), *self._arguments]
            before = len(self.log())
            self._spawn(command, self.directory, self._env)
            try:
                self._await_ready(self._answers, self.start_timeout)
                break
            except StartupError:
                if self._fixed_port or attempt == 3 or "in use" not in self.log()[before:]:
                    raise
                self._port = 0  # the port was taken meanwhile
        self._fixed_port = True
        return self

    def change_config(self, changes: Mapping[str, object]) -> None:
        """Write its configuration file anew, with these keys changed for good; None leaves a key out. SIGHUP or the next start reads it."""
        self._overrides |= changes
        self._stack.write_config(self.config_path, {**self._overrides, "ListenPort": self._port})

    def restart(self) -> None:
        """Stop it cleanly and start it again at the same port."""
        self.stop()
        self.start()

    def upgrade(self, timeout: float = 60, *, ask: Callable[[], object] | None = None) -> None:
        """Have another process take over (SIGUSR2), wait until the former one has ended, and go on with the new one. ``ask`` is called to
        ask for it in another way.

        StartupError with the end of the log when none has taken over after ``timeout`` seconds.
        """
        inherit_orphans()
        former, before = self._started(), len(self.log())
        if ask is None:
            self.signal(signal.SIGUSR2)
        else:
            ask()
        deadline = time.monotonic() + timeout
        while (pid := self._written_pid()) in (former.pid, 0):
            if former.poll() is not None or "this process goes on" in self.log()[before:] or time.monotonic() > deadline:
                raise StartupError(f"no process took over from {former.pid}; the end of {self.log_path}:\n{self.log(last=25)}")
            time.sleep(0.01)
        REAPER.watch(pid)
        self.wait(timeout)
        self._process = Successor(pid)

    def adopt_successor(self) -> bool:
        """Go on with the process that has taken over from the one that has ended, after an upgrade that somebody else asked for; return
        whether there is one. ``inherit_orphans`` must have been called before that upgrade.
        """
        pid = self._written_pid()
        if self.running or pid in (self.pid, 0) or not process_exists(pid):
            return False
        self.wait(1)
        REAPER.watch(pid)
        self._process = Successor(pid)
        return True

    def _written_pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.directory / "server.pid").read_text(encoding="ascii"))
        return 0

    def _answers(self) -> bool:
        # ours writes the pid file after listening, and shows so that it is this proxy that listens
        return (bool(self._command) or self._written_pid() == self.pid) and can_connect(self.host, self._port)

    def _program(self) -> list[str]:
        if self._command:
            return list(self._command)
        return [sys.executable, *self._python_options, "-m", "dbproxy", "--config", self.config_path.name]

    @property
    def condition(self) -> str:
        """What can be said of the process from outside: whether it runs, is suspended, has ended and how, whether it accepts connections
        and answers requests. Takes some seconds when it hangs.
        """
        if self._process is None:
            return "was not started"
        accepts = can_connect(self.host, self._port)
        answers = accepts and sign_of_life.answers_any(self.client, sign_of_life.ANSWER_TIMEOUT)
        if not answers:
            with contextlib.suppress(TimeoutError):
                self.wait(END_VISIBLE_WITHIN)
        status = self.returncode
        if status is not None:
            return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with status {status}"
        if process_state(self.pid) == "T":
            return "is suspended"
        if not accepts:
            return "runs, but accepts no connection"
        if answers:
            return "runs and answers"
        return f"hangs: it runs and accepts connections, but has answered none of {len(sign_of_life.SIGNS)} requests in time"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception):
            self.condition_at_error = self.condition
        self.stop()


class InProcessProxy(ProxyAddress):
    """A proxy in threads of this process: starts in milliseconds, can be debugged, and there may be several at once.

    ``overrides`` as for :class:`ProxyProcess`; it listens on a free port. It shares the GIL and the process's limits with the test,
    writes no ``server.pid``, handles no signals, and has no control socket unless ``AdminSocket`` names one. Any thread may call.
    """

    def __init__(self, stack: Stack, overrides: Mapping[str, object] | None = None) -> None:
        self._stack = stack
        self._overrides = dict(overrides or {})
        self._application: Application | None = None
        self._thread: threading.Thread | None = None
        self._status: int | None = None
        self._error: BaseException | None = None

    @property
    def port(self) -> int:
        """The TCP port; RuntimeError while it does not run."""
        return self.application.port

    @property
    def application(self) -> Application:
        """The running application; RuntimeError before the start."""
        if self._application is None:
            raise RuntimeError("the proxy was not started")
        return self._application

    @property
    def running(self) -> bool:
        """Whether its reactor runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def returncode(self) -> int | None:
        """What :meth:`Application.run` returned; None while it runs or before it was started."""
        return self._status

    def start(self) -> Self:
        """Start it; it accepts connections on return. StartupError or ConfigError with the reason. It may be started again after a stop."""
        from dbproxy.app import Application
        from dbproxy.config import load_config

        if self.running:
            return self
        application = Application(load_config(self._stack.write_config(overrides={"AdminSocket": "off", **self._overrides})))
        application.start()
        self._application, self._status, self._error = application, None, None
        self._thread = threading.Thread(target=self._run, args=(application,), name="reactor", daemon=True)
        self._thread.start()
        return self

    def stop(self, timeout: float = 30) -> int:
        """Stop it cleanly and return its exit status; raises the error that ended its reactor, TimeoutError after ``timeout`` seconds."""
        if self._application is None or self._thread is None:
            return 0
        self._application.request_stop()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the proxy still runs {timeout:g} s after it was asked to stop")
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._status or 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self, application: Application) -> None:
        try:
            self._status = application.run()
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._error = error
