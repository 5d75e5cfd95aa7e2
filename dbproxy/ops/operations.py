"""What is optional beside the service, and how it is put together: the control socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dbproxy import log
from dbproxy.config import Config
from dbproxy.ops.commands.steering import Drain, LogLevel, Reload, Report
from dbproxy.ops.commands.tracing import TraceRequests
from dbproxy.ops.control_server import ControlServer
from dbproxy.ops.log_level import TemporaryLogLevel
from dbproxy.ops.trace import Traces
from dbproxy.work.tracing import Tracing


class Proxy(Protocol):
    """What operators see and steer. Every method and property may be used by any thread."""

    @property
    def config(self) -> Config:
        """What it works with at the moment."""

    @property
    def open_connections(self) -> int:
        """Connections of peers that are open."""

    def request_stop(self) -> None:
        """Drain and stop."""

    def reload(self, done: Callable[[Report], None]) -> None:
        """Read the configuration again; ``done`` is told what became of it, by any thread."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have the reactor thread call ``action``."""


class Operations:
    """Made with the application, started when it serves and stopped at its end, by the reactor thread."""

    def __init__(self, proxy: Proxy, tracing: Tracing) -> None:
        self.log_level = TemporaryLogLevel(lambda: proxy.config.log_level, log.set_level)
        path = proxy.config.admin_socket
        commands = (
            Drain(proxy.request_stop, lambda: proxy.open_connections),
            LogLevel(self.log_level),
            Reload(proxy.reload),
            TraceRequests(Traces(tracing)),
        )
        self._control = ControlServer(path, commands) if path else None

    def start(self, *, take_over: bool = False) -> None:
        """Open what the configuration asks for. ``take_over``: from the process that this one replaces."""
        if self._control is not None:
            self._control.start(take_over=take_over)

    def stop(self, *, handed_over: bool = False) -> None:
        """Close everything. ``handed_over``: to a process that replaces this one and has files of its own in their place."""
        if self._control is not None:
            self._control.stop(keep_file=handed_over)
        self.log_level.reset()
