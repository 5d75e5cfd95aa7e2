"""Host names → addresses, with a time limit that ``getaddrinfo`` does not have; and connecting to them.

A lookup has a thread of its own, and a thread that connects waits for it no longer than the connect may take. There is at most one
lookup for each name: while it hangs, no other is started. The last addresses of a name are used for as long as a new lookup hangs or
fails (serve stale). Numeric addresses are used as they are.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger(__name__)

CACHE_TTL = 5.0
"""Seconds during which addresses are used without looking the name up again."""

SERVE_STALE_AFTER = 0.5
"""Seconds that a new lookup may take before the last addresses are used instead of its answer."""

MAX_NAMES = 64
"""Names in the cache, which bounds the threads too; the URLs of sounds come from database rows and may name any number of hosts."""

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Family and socket address, whose second item is the port."""


class _Lookup:
    """One lookup, pending or done."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.done = threading.Event()
        self.error: tuple[int, str] = (socket.EAI_FAIL, "")
        """What went wrong, if it did."""
        self.reported = False


class _Name:
    """The cache entry of a name."""

    def __init__(self) -> None:
        self.addresses: Sequence[Address] = ()
        """The last ones that a lookup found."""
        self.lookup: _Lookup | None = None

    def current_lookup(self) -> _Lookup | None:
        """The lookup that is pending or whose result has not expired; None when another one is due."""
        lookup = self.lookup
        if lookup is None or not lookup.done.is_set():
            return lookup
        return lookup if self.addresses and time.monotonic() - lookup.started < CACHE_TTL else None

    def is_pending(self) -> bool:
        return self.lookup is not None and not self.lookup.done.is_set()


class Resolver:
    """Looks up host names and connects to them. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, _Name] = {}

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect with TCP within ``timeout`` seconds, the lookup included; the addresses of the host are tried in their order, and
        none may use up the time of those behind it. The socket has ``timeout`` as its own.

        Raises:
            OSError: the last address that was tried could not be connected to (TimeoutError: not in time).
            socket.gaierror: the name is not known, or its lookup failed or did not end in time.

        """
        deadline = time.monotonic() + timeout
        addresses = self.addresses(host, port, timeout)
        failure: OSError = TimeoutError("timed out")
        for tried, (family, address) in enumerate(addresses):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:  # a system without IPv6
                failure = error
                continue
            try:
                sock.settimeout(left / (len(addresses) - tried))
                sock.connect(address)
                sock.settimeout(timeout)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    def addresses(self, host: str, port: int, timeout: float) -> Sequence[Address]:
        """The addresses of a host, at least one; waits for a lookup at most ``timeout`` seconds.

        Raises:
            socket.gaierror: the name is not known, or its lookup failed or did not end in time, and it never had an address before.

        """
        deadline = time.monotonic() + timeout
        try:
            return _look_up(host, port, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            pass  # a name
        with self._lock:
            name = self._entry(host)
            lookup = name.current_lookup()
            is_new = lookup is None
            if lookup is None:
                lookup = name.lookup = _Lookup()
        if is_new:
            self._start(host, name, lookup)
        if name.addresses:
            deadline = min(deadline, lookup.started + SERVE_STALE_AFTER)
        if not lookup.done.is_set():
            lookup.done.wait(max(0.0, deadline - time.monotonic()))
        with self._lock:
            addresses = name.addresses
            report = bool(addresses) and not lookup.done.is_set() and not lookup.reported
            lookup.reported = lookup.reported or report
        if report:
            logger.warning("the lookup of host %s takes long: its last addresses are used", host)
        if addresses:
            return [(family, (address[0], port, *address[2:])) for family, address in addresses]
        if lookup.done.is_set():
            raise socket.gaierror(*lookup.error)
        raise socket.gaierror(socket.EAI_AGAIN, f"the lookup of host {host} did not end within {timeout:g} s")

    def _entry(self, host: str) -> _Name:
        """The cache entry of a host; a new one if there is none. With the lock held."""
        name = self._names.pop(host, None)
        if name is None:
            name = _Name()
            if len(self._names) >= MAX_NAMES:
                unused = next((other for other, known in self._names.items() if not known.is_pending()), None)
                if unused is None:
                    raise socket.gaierror(socket.EAI_AGAIN, f"{MAX_NAMES} other hosts are being looked up")
                del self._names[unused]
        self._names[host] = name  # in the order of their last use
        return name

    def _start(self, host: str, name: _Name, lookup: _Lookup) -> None:
        thread = threading.Thread(target=self._run, args=(host, name, lookup), name=f"lookup-{host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            lookup.error = (socket.EAI_AGAIN, str(error))
            lookup.done.set()

    def _run(self, host: str, name: _Name, lookup: _Lookup) -> None:
        """Look a name up. The thread of this lookup."""
        try:
            found = _look_up(host)
        except (OSError, UnicodeError) as error:
            code = error.errno if isinstance(error, socket.gaierror) and error.errno is not None else socket.EAI_FAIL
            lookup.error = (code, (isinstance(error, OSError) and error.strerror) or f"{host} is no host name")
            if name.addresses:
                logger.warning("host %s cannot be looked up (%s): its last addresses are used", host, lookup.error[1])
        else:
            with self._lock:
                name.addresses = found
        finally:
            lookup.done.set()


def _look_up(host: str, port: int | None = None, flags: int = 0) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
