"""What is optional beside the service, and how it is put together: the control socket and the HTTP endpoint."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from dbproxy import log
from dbproxy.config import Config
from dbproxy.handover.state import ListenerState
from dbproxy.ops.commands.state import Connections, Part, Status, Top
from dbproxy.ops.commands.steering import Drain, LogLevel, Reload, Report, Upgrade
from dbproxy.ops.commands.tracing import TraceRequests
from dbproxy.ops.control_server import ControlServer
from dbproxy.ops.control_socket import is_listening
from dbproxy.ops.http_endpoint import HttpEndpoint
from dbproxy.ops.log_level import TemporaryLogLevel
from dbproxy.ops.snapshot import ObservedProxy, Snapshots
from dbproxy.ops.trace import Traces
from dbproxy.work.tracing import Tracing

ADMIN = "admin"
"""The role of the listening socket of the HTTP endpoint in a handover."""


class Proxy(ObservedProxy, Protocol):
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

    def upgrade(self, done: Callable[[str | None], None]) -> None:
        """Have another process take over; ``done`` is told None, or why this one goes on, by any thread."""


class Operations:
    """Made with the application, started when it serves and stopped at its end, by the reactor thread."""

    def __init__(self, proxy: Proxy, tracing: Tracing) -> None:
        self.log_level = TemporaryLogLevel(lambda: proxy.config.log_level, log.set_level)
        path = proxy.config.admin_socket
        self._snapshots = Snapshots(proxy)
        commands = (
            Status(self._state),
            Top(self._state),
            Connections(self._state),
            Part("pools", self._state, "replication"),
            Part("slow", self._state),
            Drain(proxy.request_stop, lambda: proxy.open_connections),
            LogLevel(self.log_level),
            Reload(proxy.reload),
            Upgrade(proxy.upgrade, lambda: is_listening(path)),
            TraceRequests(Traces(tracing)),
        )
        self._control = ControlServer(path, commands) if path else None
        self._proxy = proxy
        self.endpoint: HttpEndpoint | None = None
        """The HTTP endpoint, once the proxy starts, if AdminListen asks for one."""
        self.kept: socket.socket | None = None
        """The listening socket of the endpoint, after ``stop`` because of a handover: a process that serves again goes on with it."""

    def listen(self, inherited: socket.socket | None = None) -> None:
        """Open the HTTP endpoint, which answers after ``start``: at the beginning of a start, so that it fails before anything is done.
        ``inherited``: the socket that listens, from the process that this one replaces.

        Raises:
            StartupError: it cannot be opened.

        """
        address = self._proxy.config.admin_listen
        if address is not None:
            self.endpoint = HttpEndpoint(self._proxy, address, inherited)

    def start(self, *, take_over: bool = False) -> None:
        """Open what the configuration asks for. ``take_over``: from the process that this one replaces."""
        if self.endpoint is not None:
            self.endpoint.start()
        if self._control is not None:
            self._control.start(take_over=take_over)

    def listeners(self) -> list[ListenerState]:
        """The sockets that a process gets which replaces this one."""
        address = self._proxy.config.admin_listen
        if self.endpoint is None or address is None:
            return []
        return [ListenerState(ADMIN, *address, self.endpoint.listener.fileno())]

    def stop(self, *, handed_over: bool = False) -> None:
        """Close everything. ``handed_over``: to a process that replaces this one and has files of its own in their place."""
        if self.kept is not None:
            self.kept.close()
        if self.endpoint is not None:
            self.kept = self.endpoint.listener.dup() if handed_over else None
            self.endpoint.stop()
            self.endpoint = None
        if self._control is not None:
            self._control.stop(keep_file=handed_over)
        self.log_level.reset()

    def _state(self) -> Snapshots:
        """What takes snapshots; that of the endpoint knows more."""
        return self._snapshots if self.endpoint is None else self.endpoint.snapshots
