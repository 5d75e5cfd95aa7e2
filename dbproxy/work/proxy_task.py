"""ProxyTask: one request on its way from the reactor to a worker."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

if TYPE_CHECKING:
    from dbproxy.work.handler_map import FollowUp, Handler


class ProxyTask:
    """A PDU with its handler and the connection it came from. Made by the reactor thread, then owned by one worker at a time.

    ``queue`` and ``ordering_key`` say where it waits (see request_queues.py). ``request`` is the parsed body where somebody has parsed it
    already. ``follow_up`` is the rest of the work when a handler answered with a FollowUp, and ``worked_before`` the seconds until it did.
    ``received_at`` is monotonic time in seconds.
    """

    __slots__ = (
        "body",
        "conn_uuid",
        "follow_up",
        "handler",
        "ordering_key",
        "peer",
        "queue",
        "received_at",
        "request",
        "seq_num",
        "worked_before",
    )

    def __init__(self, handler: Handler[Any], conn_uuid: int, peer: str, seq_num: int, body: bytes, received_at: float) -> None:
        self.handler = handler
        self.conn_uuid = conn_uuid
        self.peer = peer
        self.seq_num = seq_num
        self.body = body
        self.received_at = received_at
        self.queue: str = handler.queue
        self.ordering_key: Hashable = None
        self.request: Message | None = None
        self.follow_up: FollowUp | None = None
        self.worked_before = 0.0

    def __str__(self) -> str:
        return f"{self.handler.command.name} [peer={self.peer} uuid={self.conn_uuid} seq={self.seq_num}]"
