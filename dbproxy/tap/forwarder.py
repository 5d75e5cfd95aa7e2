"""Forwarder: accepts clients, connects each to the server, and passes bytes on in both directions as they are.

One thread, which does nothing else: what has passed is told to another process (``Observer``), so that decoding and printing delay nobody.
Nothing is read from a side while more than ``MAX_UNSENT`` bytes wait for the other: a slow reader slows its peer down, as without the
forwarder between them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable

from dbproxy.addresses import shown_address
from dbproxy.tap.boundaries import Boundaries
from dbproxy.tap.observer import Observer
from dbproxy.tap.records import Event

READ_SIZE = 256 * 1024
MAX_UNSENT = 1 << 20
"""Bytes that wait for one side of a connection before nothing more is read from the other."""

MAX_CONNECTIONS = 20_000
"""Clients at once, if there are enough descriptors; further ones wait in the kernel."""

_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""Why ``accept`` fails although a client waits: it would fail again at once."""


class Forwarder:
    """Forwards until ``stop``. One thread; ``stop`` may be called by a signal handler."""

    def __init__(
        self,
        listener: socket.socket,
        server: tuple[str, int],
        observer: Observer,
        on_unseen: Callable[[], object],
        most: int = MAX_CONNECTIONS,
    ) -> None:
        """``listener`` listens; ``server``: numeric address and port of the server. ``on_unseen`` is called once if nobody is shown what
        passes any more. ``most``: clients at once.
        """
        self._most = most
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._server = server
        self._observer = observer
        self._on_unseen: Callable[[], object] | None = on_unseen
        self._opened = 0
        self._links: set[Link] = set()
        self._accepting = False
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False

    def stop(self) -> None:
        """Let ``run`` return."""
        self._stopping = True
        with contextlib.suppress(OSError):  # ``run`` is over already
            os.write(self._waker, b"x")

    def run(self) -> None:
        """Forward until ``stop``, then close everything."""
        self._listener.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda _: None)
        self._observer.register(self._selector)
        try:
            while not self._stopping:
                self._accept_more()
                for key, events in self._selector.select():
                    key.data(events)
                self._observer.send()
                if self._observer.is_gone and self._on_unseen is not None:
                    self._on_unseen()
                    self._on_unseen = None
        finally:
            for link in list(self._links):
                link.close()
            self._selector.close()
            self._listener.close()
            os.close(self._woken)
            os.close(self._waker)

    def _accept_more(self) -> None:
        wanted = len(self._links) < self._most
        if wanted != self._accepting:
            self._accepting = wanted
            if wanted:
                self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            else:
                self._selector.unregister(self._listener)

    def _accept(self, _: int) -> None:
        try:
            client, address = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_RESOURCES:
                self._most = max(1, len(self._links))  # until one of these has ended nobody can be accepted
            return
        self._opened += 1
        self._observer.tell(self._opened, Event.OPENED, shown_address(*address[:2]).encode())
        link = Link(self._selector, self._observer, self._opened, client, self._links.discard)
        self._links.add(link)
        link.connect(self._server)


class Link:
    """A client, and the connection to the server that belongs to it."""

    def __init__(
        self, selector: selectors.BaseSelector, observer: Observer, number: int, client: socket.socket, on_close: Callable[[Link], None]
    ) -> None:
        self._selector = selector
        self._observer = observer
        self._number = number
        self._on_close = on_close
        self._client = _Side(client)
        self._closed = False
        self._server: _Side | None = None

    def connect(self, address: tuple[str, int]) -> None:
        """Begin to connect to the server; what the client sends meanwhile waits in the kernel."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._server = _Side(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        except OSError as error:  # no descriptor is left
            self._no_server(error.errno or errno.EMFILE)
            return
        code = self._server.socket.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._no_server(code)
            return
        self._selector.register(self._server.socket, selectors.EVENT_WRITE, self._on_connected)

    def close(self) -> None:
        """Close both connections."""
        if self._closed:
            return
        self._closed = True
        for side in (self._client, self._server):
            if side is not None:
                side.watch(self._selector, 0, None)
                side.socket.close()
        self._on_close(self)

    def _no_server(self, code: int) -> None:
        self._observer.tell(self._number, Event.NO_SERVER, os.strerror(code).encode())
        self.close()

    def _on_connected(self, _: int) -> None:
        server = self._server
        if server is None:
            return
        self._selector.unregister(server.socket)
        code = server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._no_server(code)
            return
        self._to_server = _Direction(self._client, server, Event.FROM_CLIENT, Event.LOST_OF_CLIENT, Event.ENDED_BY_CLIENT)
        self._to_client = _Direction(server, self._client, Event.FROM_SERVER, Event.LOST_OF_SERVER, Event.ENDED_BY_SERVER)
        self._watch()

    def _on_client(self, events: int) -> None:
        self._move(events, self._to_server, self._to_client)

    def _on_server(self, events: int) -> None:
        self._move(events, self._to_client, self._to_server)

    def _move(self, events: int, outward: _Direction, inward: _Direction) -> None:
        """Handle a side on which ``outward`` begins and ``inward`` ends."""
        if self._closed:
            return
        try:
            if events & selectors.EVENT_WRITE:
                inward.flush()
            if events & selectors.EVENT_READ and outward.wants_to_read:
                outward.read(self._observer, self._number)
        except OSError as error:
            self._observer.tell(self._number, outward.ended_event, (error.strerror or str(error)).encode())
            self.close()
            return
        if outward.is_over and inward.is_over:
            self.close()
            return
        self._watch()

    def _watch(self) -> None:
        """Wait for what each side can do next."""
        outward, inward = self._to_server, self._to_client
        self._client.watch(self._selector, _events(outward, inward), self._on_client)
        if self._server is not None:
            self._server.watch(self._selector, _events(inward, outward), self._on_server)


def _events(begins: _Direction, ends: _Direction) -> int:
    """What is waited for on a side on which the one direction begins and the other one ends."""
    return (selectors.EVENT_READ if begins.wants_to_read else 0) | (selectors.EVENT_WRITE if ends.wants_to_write else 0)


class _Side:
    """A socket and what is waited for on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.events = 0

    def watch(self, selector: selectors.BaseSelector, events: int, handler: Callable[[int], None] | None) -> None:
        """Wait for these events, 0 for none."""
        if events == self.events:
            return
        if not self.events:
            selector.register(self.socket, events, handler)
        elif events:
            selector.modify(self.socket, events, handler)
        else:
            selector.unregister(self.socket)
        self.events = events


class _Direction:
    """What goes from one side to the other."""

    def __init__(self, source: _Side, target: _Side, passed: Event, lost: Event, ended: Event) -> None:
        self._source = source.socket
        self._target = target.socket
        self._passed = passed
        self._lost = lost
        self.ended_event = ended
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._ended = False
        self.is_over = False
        """Whether its end has been passed on."""
        self._boundaries = Boundaries()
        self._shown = True
        self._lost_from = 0

    @property
    def wants_to_read(self) -> bool:
        return not self._ended and self._unsent_bytes < MAX_UNSENT

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def read(self, observer: Observer, number: int) -> None:
        """Read once, send at once what can be sent, and tell about it afterwards."""
        try:
            data = self._source.recv(READ_SIZE)
        except BlockingIOError:
            return
        arrived = time.time()
        if data:
            self._unsent.append(data)
            self._unsent_bytes += len(data)
        else:
            self._ended = True
        self.flush()
        if data:
            self._tell(observer, number, data, arrived)
            return
        if not self._shown:
            observer.tell(number, self._lost, b"%d" % (self._boundaries.pdus - self._lost_from), arrived)
        observer.tell(number, self.ended_event, b"", arrived)

    def flush(self) -> None:
        """Send what can be sent; after the last byte pass the end on."""
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = self._target.send(data)
            except BlockingIOError:
                return
            self._unsent_bytes -= sent
            if sent < len(data):
                self._unsent[0] = data[sent:]
                return
            self._unsent.popleft()
        if self._ended and not self.is_over:
            self.is_over = True
            try:
                self._target.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:  # the peer has closed both directions already
                    raise

    def _tell(self, observer: Observer, number: int, data: bytes, arrived: float) -> None:
        """Tell the observer, or leave PDUs out while it is behind; it begins again with a whole one."""
        begun = self._boundaries.pdus
        boundary = self._boundaries.feed(data)
        if self._shown and observer.is_behind:
            self._shown, self._lost_from = False, begun
        if not self._shown:
            if boundary is None or observer.is_behind:
                return
            observer.tell(number, self._lost, b"%d" % (begun - self._lost_from), arrived)
            self._shown = True
            data = data[boundary:]
        if data:
            observer.tell(number, self._passed, data, arrived)
