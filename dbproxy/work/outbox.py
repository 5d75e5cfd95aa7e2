"""Outbox: the replies of one batch on their way to the response deque. Worker threads only."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.response_deque import Response, ResponseDeque

POST_BYTES = 256 * 1024
"""Bytes of replies that a worker keeps before it posts them, although more of its batch are still to be made."""


class Outbox:
    """The replies of one batch that are not posted yet. It belongs to one worker."""

    __slots__ = ("_responses", "_target", "size")

    def __init__(self, target: ResponseDeque) -> None:
        self._target = target
        self._responses: list[Response] = []
        self.size = 0
        """Bytes that were added and are not posted."""

    def add(self, task: ProxyTask, body: bytes) -> None:
        """Add the reply with this body."""
        self._responses.append((task.conn_uuid, task.handler.command.pack_reply(task.seq_num, body)))
        self.size += len(body)
        if self.size >= POST_BYTES:
            self.post()

    def add_message(self, task: ProxyTask, reply: Message) -> None:
        """Add this reply."""
        handler = task.handler
        if handler.copies_attach_data:
            reply.attach_data = task.request.attach_data  # type: ignore[attr-defined, union-attr]
        pdu = handler.command.pack_reply(task.seq_num, reply.SerializeToString())
        self._responses.append((task.conn_uuid, pdu))
        self.size += len(pdu)
        if self.size >= POST_BYTES:
            self.post()

    def add_parts(self, task: ProxyTask, parts: Sequence[bytes]) -> None:
        """Add the reply whose body consists of these parts; those of a long one are not put together, which would be a copy."""
        handler = task.handler
        reply_type = handler.command.reply
        if handler.copies_attach_data and reply_type is not None:
            parts = (*parts, reply_type(attach_data=task.request.attach_data).SerializePartialToString())  # type: ignore[union-attr]
        size = sum(map(len, parts))
        if size < POST_BYTES:
            self.add(task, b"".join(parts))
            return
        self._responses.append((task.conn_uuid, handler.command.pack_reply_header(task.seq_num, size)))
        self._responses += ((task.conn_uuid, part) for part in parts)
        self.size += size
        self.post((task.conn_uuid, len(parts)))

    def post(self, continued: tuple[int, int] | None = None) -> None:
        """Post what has been added; ``continued``: see ResponseDeque."""
        if self._responses:
            self._target.post(self._responses, self.size, continued)
            self._responses = []
            self.size = 0


class TracedOutbox(Outbox):
    """An Outbox that also keeps the bodies of its replies, for whoever traces requests."""

    __slots__ = ("replies",)

    def __init__(self, target: ResponseDeque) -> None:
        super().__init__(target)
        self.replies: dict[ProxyTask, Sequence[bytes]] = {}
        """The parts of the bodies; of a long one without the attach_data."""

    def add(self, task: ProxyTask, body: bytes) -> None:
        """Add the reply with this body."""
        self.replies[task] = (body,)
        super().add(task, body)

    def add_message(self, task: ProxyTask, reply: Message) -> None:
        """Add this reply."""
        if task.handler.copies_attach_data:
            reply.attach_data = task.request.attach_data  # type: ignore[attr-defined, union-attr]
        self.add(task, reply.SerializeToString())

    def add_parts(self, task: ProxyTask, parts: Sequence[bytes]) -> None:
        """Add the reply whose body consists of these parts."""
        self.replies[task] = parts
        super().add_parts(task, parts)
