"""What connections may cost, and what another process needs to know to go on with one. Plain values; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.net.allowed_peers import Network


@dataclass(frozen=True, slots=True)
class ConnLimits:
    """What a connection may cost; bytes and seconds, named like the keys of the configuration."""

    max_pdu_length: int
    max_send_buffer: int
    send_timeout: float
    heartbeat_interval: float
    peer_timeout: float


@dataclass(frozen=True, slots=True)
class ConnState:
    """A connection as another process can go on with it. ``unfinished``: what was read of a PDU; ``unsent``: what the socket has not taken.
    Times are monotonic, in seconds.
    """

    uuid: int
    peer: str
    descriptor: int
    opened: float
    last_received: float
    last_sent: float
    unfinished: bytes
    unsent: Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Who may connect, and what the connections may cost. Bytes, except for ``max_connections``.

    ``max_pending``: bytes of unfinished PDUs and of held requests that all connections together may have; above it those that have most
    are closed, at the moment at which it is exceeded. ``max_backlog``: bytes that all together may keep because their peers do not read;
    above it those that read very slowly are closed, the largest first. ``connection``: the limits of each of them. With no
    ``allowed_peers`` everybody may connect.
    """

    max_connections: int
    max_pending: int
    max_backlog: int
    allowed_peers: Sequence[Network]
    connection: ConnLimits
