"""The program that is examined: one that is started here, or one that runs already. One thread."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from dbproxy.models.names import LAST_UPDATE_GROUP_KEY
from dbproxy.testing.capabilities import ASKED_INTERVAL, Capabilities, ask_capabilities
from dbproxy.testing.client import Client
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.sign_of_life import SIGNS, answers
from dbproxy.testing.stack import Stack

if TYPE_CHECKING:
    from typing_extensions import Self

NO_SYNC = 3600.0
"""SyncInterval of a program that honours the key while cases run into which its group session sync must not get."""

WITH_SYNC = 1.5
"""SyncInterval while cases run that wait for the sync."""

SIGN_TIMEOUT = 2.0
"""Seconds in which a program that was just started has to answer a request for which it is a sign of life."""

ALIVE_TIMEOUT = 8.0
"""Seconds after which a program that does not give its sign of life counts as hanging."""


class Program(ABC):
    """A db_proxy_server on ``stack``."""

    stack: Stack
    _sign: Message | None = None

    @abstractmethod
    def connect(self) -> Client:
        """Return a new connection; the caller closes it. OSError if the program does not accept one."""

    @abstractmethod
    def prepare(self, *, waits_for_sync: bool) -> None:
        """Get ready for a case: start the program if it does not run. StartupError if it does not start."""

    @property
    @abstractmethod
    def always_syncs(self) -> bool:
        """Whether the group session sync runs at its own pace, so that cases have to begin right after a run."""

    @property
    @abstractmethod
    def ended(self) -> str:
        """How the program has ended; empty while it runs, or if that cannot be known."""

    def find_sign_of_life(self) -> None:
        """Find out what the program answers while it is known to be well."""
        self._sign = next((request for request in SIGNS if answers(self.connect, request, SIGN_TIMEOUT)), None)

    @property
    def hangs(self) -> bool:
        """Whether it does not answer what it has answered before, though it is there."""
        return self._sign is not None and not answers(self.connect, self._sign, ALIVE_TIMEOUT)

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
        known = self.capabilities
        return known is not None and known.sync_interval is not None and not known.honours_sync_interval

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
            self.find_sign_of_life()
            self._interval = ASKED_INTERVAL
        wanted = WITH_SYNC if waits_for_sync else NO_SYNC
        settable = self.capabilities.honours_sync_interval
        if self._proxy is not None and self._proxy.running and (not settable or wanted == self._interval):
            return
        self.stop()
        self.stack.reset()
        self._proxy = self._process(wanted).start()
        self._interval = wanted
        if self.capabilities.honours_sync_interval:
            self._await_first_sync()

    def stop(self) -> None:
        """See Program."""
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            with contextlib.suppress(TimeoutError):
                proxy.stop(10)

    def _process(self, interval: float) -> ProxyProcess:
        keys: Mapping[str, object] = {"MsfsSite": self._site, "SyncInterval": interval, "StopGrace": 1}
        return ProxyProcess(self.stack, keys, command=self._command)

    def _await_first_sync(self) -> None:
        """The sync runs once at the start, and then never again."""
        deadline = time.monotonic() + 10
        with self.stack.redis("unread") as client:
            while not client.exists(LAST_UPDATE_GROUP_KEY) and time.monotonic() < deadline:
                time.sleep(0.01)


class RunningProgram(Program):
    """A program that runs already, whose stores ``stack`` leads to."""

    always_syncs = True
    ended = ""

    def __init__(self, stack: Stack, host: str, port: int) -> None:
        self.stack = stack
        self._examined = False
        self._address = (host, port)

    def connect(self) -> Client:
        """See Program."""
        return Client(*self._address)

    def prepare(self, *, waits_for_sync: bool) -> None:
        """See Program. Nothing is started."""
        if not self._examined:
            self._examined = True
            self.find_sign_of_life()

    def stop(self) -> None:
        """Nothing: it is somebody else's."""
