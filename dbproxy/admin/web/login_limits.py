"""LoginLimits: how many wrong passwords the web application takes. Any thread."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable

from dbproxy.admin.web.client_address import network_of
from dbproxy.models.login_attempts import LoginAttempts

MOST_FOR_ADDRESS = 20
"""Failures of one address within 30 minutes after which it is refused. Of IPv6 the /64 counts, since one machine has all of it."""

MOST_FOR_NAME = 50
"""The same for the name of an account. More, because who knows a name could otherwise keep its owner out with little effort."""


class LoginLimits:
    """Failures by name, whether there is such an account or not, and by address; in memory, so a restart forgets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = LoginAttempts(clock, MOST_FOR_NAME - 1)
        self._addresses = LoginAttempts(clock, MOST_FOR_ADDRESS - 1)

    def is_refused(self, name: str, address: str) -> bool:
        """Whether an attempt is refused without a look at its password."""
        return self._names.is_locked(_key(name)) or self._addresses.is_locked(network_of(address))

    def failed(self, name: str, address: str) -> None:
        """Count a wrong name or password."""
        self._names.attempt(_key(name), False)
        self._addresses.attempt(network_of(address), False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name. Those of the address stay: it may belong to somebody who has an account and tries others."""
        self._names.attempt(_key(name), True)


def _key(name: str) -> bytes:
    return unicodedata.normalize("NFKC", name[:1000]).casefold().encode("utf-8", "replace")
