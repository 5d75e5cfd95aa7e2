"""The program that is examined: one that is started here, or one that runs already. One thread."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.testing.capabilities import ASKED_INTERVAL, Capabilities, ask_capabilities
from dbproxy.testing.client import Client, ConnectionClosedError
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack
from dbproxy.wire.pb import server_pb2

if TYPE_CHECKING:
    from typing_extensions import Self

NO_SYNC = 3600.0
"""SyncInterval of a program that honours the key while cases run into which its group session sync must not get."""

WITH_SYNC = 1.5
"""SyncInterval while cases run that wait for the sync."""

ALIVE_TIMEOUT = 8.0
"""Seconds after which a program that does not answer a login counts as hanging."""


class Program(ABC):
    """A db_proxy_server on ``stack``."""

    stack: Stack

    @abstractmethod
    def connect(self) -> Client:
        """Return a new connection; the caller closes it. OSError if the program does not accept one."""

    @abstractmethod
    def prepare(self, *, waits_for_sync: bool) -> None:
        """Get ready for a case: start the program if it does not run. StartupError if it does not start."""

    @property
    @abstractmethod
    def always_syncs(self) -> bool:
        """Whether the group session sync may run at any time, so that cases have to begin right after a run."""

    @property
    @abstractmethod
    def ended(self) -> str:
        """How the program has ended; empty while it runs, or if that cannot be known."""

    @property
    def hangs(self) -> bool:
        """Whether it does not answer a login (of a user who does not exist) in time, though it is there."""
        request = server_pb2.IMValidateReq(user_name="\x01nobody", password="-")
        try:
            with contextlib.closing(self.connect()) as client:
                client.request(request, timeout=ALIVE_TIMEOUT)
        except (TimeoutError, ConnectionClosedError, OSError):
            return True
        return False

    @abstractmethod
    def stop(self) -> None:
        """End it, if it was started here; one that hangs is killed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class StartedProgram(Program):
    """A program that is started with a configuration for the stack, in a directory of its own, and started again when it has died."""

    def __init__(self, stack: Stack, command: Sequence[str], site: str) -> None:
        """``command``: as for ProxyProcess, none for this package's proxy. ``site``: the file server."""
        self.stack = stack
        self._command = tuple(command)
        self._site = site
        self._proxy: ProxyProcess | None = None
        self._interval: float | None = None
        self.capabilities: Capabilities | None = None
        """Known after the first ``prepare``."""

    @property
    def always_syncs(self) -> bool:
        """See Program."""
        return self.capabilities is None or not self.capabilities.honours_sync_interval

    @property
    def ended(self) -> str:
        """See Program."""
        return "" if self._proxy is None or self._proxy.running else self._proxy.condition

    def connect(self) -> Client:
        """See Program."""
        if self._proxy is None:
            raise ConnectionRefusedError("the program has not been started")
        return self._proxy.client()

    def prepare(self, *, waits_for_sync: bool) -> None:
        """See Program. The first time, what the program can do is found out."""
        if self.capabilities is None:
            self.stack.reset()
            self._proxy = self._process(ASKED_INTERVAL)
            self.capabilities = ask_capabilities(self.stack, self._proxy)
            self._interval = ASKED_INTERVAL
        wanted = WITH_SYNC if waits_for_sync else NO_SYNC
        if self._proxy is not None and self._proxy.running and (self.always_syncs or wanted == self._interval):
            return
        self.stop()
        self.stack.reset()
        self._proxy = self._process(wanted).start()
        self._interval = wanted
        if not self.always_syncs:
            self._await_first_sync()

    def stop(self) -> None:
        """See Program."""
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            with contextlib.suppress(TimeoutError):
                proxy.stop(10)

    def log(self, last: int) -> str:
        """The last lines that the program has written to its output."""
        return "" if self._proxy is None else self._proxy.log(last)

    def _process(self, interval: float) -> ProxyProcess:
        keys: Mapping[str, object] = {"MsfsSite": self._site, "SyncInterval": interval, "StopGrace": 1}
        return ProxyProcess(self.stack, keys, command=self._command)

    def _await_first_sync(self) -> None:
        """The sync runs once at the start, and then never again."""
        deadline = time.monotonic() + 10
        with self.stack.redis("unread") as client:
            while not client.exists("last_update_group") and time.monotonic() < deadline:
                time.sleep(0.01)


class RunningProgram(Program):
    """A program that runs already, whose stores ``stack`` leads to."""

    always_syncs = True
    ended = ""

    def __init__(self, stack: Stack, host: str, port: int) -> None:
        self.stack = stack
        self._address = (host, port)

    def connect(self) -> Client:
        """See Program."""
        return Client(*self._address)

    def prepare(self, *, waits_for_sync: bool) -> None:
        """Nothing can be done."""

    def stop(self) -> None:
        """Nothing: it is somebody else's."""
