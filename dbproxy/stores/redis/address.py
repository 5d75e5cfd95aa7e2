"""Where the connections of a pool lead to: a fixed address, or the master that Sentinels name.

An address connects a connection that a thread has checked out, and says whose data it leads to. Any thread.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import redis

from dbproxy.stores.redis.commands import CacheCommand
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.tls import is_tls_refusal

logger = logging.getLogger(__name__)

_RUN_ID = re.compile(rb"run_id:(\w+)")
_ROLE = re.compile(rb"role:(\w+)")


class Identity(NamedTuple):
    """What a server says of itself; None: its account may not ask."""

    run_id: bytes | None
    role: bytes | None
    """``master`` or ``slave``."""


def may_get_ready(error: BaseException | None) -> bool:
    """Whether connecting failed because the server is not up, or is still loading its data; and not because it does not let us in."""
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False
    lost = (redis.ConnectionError, redis.TimeoutError, OSError)  # BusyLoadingError is a ConnectionError
    return isinstance(error, lost) and not is_tls_refusal(error)


def identify(connection: DriverConnection, commands: Sequence[CacheCommand]) -> Identity:
    """Ask a server for sections of INFO, or its ROLE; PING may come along with them.

    Raises:
        redis.RedisError, OSError: the connection is lost, or the server does not take commands yet.

    """
    replies, refused = connection.exchange(commands)
    if refused is not None:
        logger.debug("%s:%d does not tell what it is: %s", connection.host, connection.port, refused)
    text = b"".join(reply for reply in replies if isinstance(reply, bytes))
    run_id, role = _RUN_ID.search(text), _ROLE.search(text)
    told = next((reply[0] for reply in replies if isinstance(reply, list)), None)  # the reply to ROLE
    return Identity(run_id and run_id[1], (role and role[1]) or told)


class Address(ABC):
    """Connects connections. Any thread."""

    moves: ClassVar[bool]
    """Whether another server may take the place of the one that is connected to, while that one goes on."""

    @abstractmethod
    def connect(self, connection: DriverConnection, began: float) -> bytes | None:
        """Connect a connection that is not connected. ``began``: monotonic time at which its user began to wait for it. Returns the run id
        of the server, None if it does not say.

        Raises:
            redis.RedisError, OSError: connecting failed.

        """


class FixedAddress(Address):
    """Host and port of the configuration."""

    moves = False

    def connect(self, connection: DriverConnection, began: float) -> bytes | None:
        """See Address."""
        connection.ensure_connected()
        return identify(connection, [("INFO", "server")]).run_id
