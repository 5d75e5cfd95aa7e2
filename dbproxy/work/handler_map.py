"""HandlerMap: which handler answers which command id."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from dbproxy.wire.commands import Command
from dbproxy.work.queue_settings import QueueSettings

Request = TypeVar("Request", bound=Message)

Reply = Message | Sequence[bytes]
"""A reply as a message, or serialised in parts: protobuf lets the fields of a message be serialised apart and put together. So a long list
is never in memory several times, and one that several peers ask for is only once.
"""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """An answer that needs slow work first (fetching sounds): ``work`` is called later, from the queue named here, and returns the reply;
    or ``without``, when the request has waited for its turn for too long.
    """

    queue: str
    work: Callable[[], Reply]
    without: Callable[[], Reply]


Answer = Message | Sequence[bytes] | FollowUp | None
"""What a handler says to one request: a reply, a reply that takes time, or nothing."""

LazyAnswer = Callable[[], Answer]
"""Makes an answer when its turn has come, so that long replies are made one at a time, and only when the peer takes them."""


class Routing(NamedTuple):
    """Where a request waits: its queue, and the key whose requests keep their order."""

    queue: str
    ordering_key: Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Generic[Request]):
    """How one command is answered; made with ``each``, ``batch`` or ``lookup``. Every callable runs in a worker thread, except ``routing``,
    which runs in the reactor thread.

    Attributes:
        command: ids and messages.
        answer: takes the requests of a batch, returns one answer (or what makes it) for each, in the same order.
        refuse: the reply to a request that a backend's failure or its own age left unanswered; None when any reply would be wrong.
        unreadable: the reply to a body that does not parse; None means no reply, as nearly everywhere in this protocol.
        routing: where a request waits when that depends on what is in it.
        queues: settings of the queues in which its requests may wait, by name, where they are not the usual ones.
        rows: how many rows a request asks for, where that is a number in it; a batch is answered in parts of at most ``MAX_PART_ROWS``.
        unbatched: the requests of a batch are given to ``answer`` one at a time, so that each succeeds or fails for itself.
        retry_individually: it only reads, so after a failure a batch may be answered again request by request, and it may be paused and
            stopped at its deadline.
        copies_attach_data: the reply gets the request's attach_data, even an empty one.

    """

    command: Command[Request, Any]
    answer: Callable[[Sequence[Request]], Sequence[Answer | LazyAnswer]]
    refuse: Callable[[Request], Message | None] | None = None
    unreadable: Callable[[], Message] | None = None
    routing: Callable[[Request], Routing] | None = None
    queues: Mapping[str, QueueSettings] = field(default_factory=dict)
    rows: Callable[[Request], int] | None = None
    unbatched: bool = False
    retry_individually: bool = False
    copies_attach_data: bool = True

    queue: str = field(init=False)
    """The queue of requests that are not routed."""
    large_queue: str = field(init=False)
    """The queue of those among them whose body is large, so that they do not delay the others."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "queue", self.command.name)
        object.__setattr__(self, "large_queue", self.command.name + " (large)")

    @classmethod
    def each(
        cls,
        command: Command[Request, Any],
        function: Callable[[Request], Answer],
        *,
        refuse: Callable[[Request], Message | None] | None = None,
        retry_individually: bool = False,
        copies_attach_data: bool = True,
    ) -> Handler[Request]:
        """A handler whose ``function`` answers one request; each succeeds or fails for itself."""
        return cls(
            command=command,
            answer=lambda requests: [function(request) for request in requests],
            refuse=refuse,
            unbatched=True,
            retry_individually=retry_individually,
            copies_attach_data=copies_attach_data,
        )

    @classmethod
    def batch(
        cls,
        command: Command[Request, Any],
        function: Callable[[Sequence[Request]], Sequence[Answer | LazyAnswer]],
        *,
        refuse: Callable[[Request], Message | None] | None = None,
        unreadable: Callable[[], Message] | None = None,
        routing: Callable[[Request], Routing] | None = None,
        queues: Mapping[str, QueueSettings] | None = None,
        copies_attach_data: bool = True,
    ) -> Handler[Request]:
        """A handler whose ``function`` answers all requests of a batch, and which may write."""
        return cls(
            command=command,
            answer=function,
            refuse=refuse,
            unreadable=unreadable,
            routing=routing,
            queues=queues or {},
            copies_attach_data=copies_attach_data,
        )

    @classmethod
    def lookup(
        cls,
        command: Command[Request, Any],
        function: Callable[[Sequence[Request]], Sequence[Answer | LazyAnswer]],
        *,
        rows: Callable[[Request], int] | None = None,
        long_replies: bool = False,
    ) -> Handler[Request]:
        """A handler whose ``function`` answers all requests of a batch, and which only reads. ``long_replies``: see QueueSettings."""
        queues = {command.name: QueueSettings(long_replies=True)} if long_replies else {}
        return cls(command=command, answer=function, queues=queues, rows=rows, retry_individually=True)


class HandlerMap:
    """The handlers by command id. Filled before the reactor starts, read-only afterwards, so any thread may read it."""

    def __init__(self, handlers: Iterable[Handler[Any]]) -> None:
        self._handlers: dict[int, Handler[Any]] = {}
        for handler in handlers:
            command_id = handler.command.command_id
            if command_id in self._handlers:
                raise ValueError(f"two handlers for command 0x{command_id:04x}")
            self._handlers[command_id] = handler

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Handler[Any]]:
        return iter(self._handlers.values())

    def get(self, command_id: int) -> Handler[Any] | None:
        """Return the handler of a command id, or None."""
        return self._handlers.get(command_id)

    @property
    def queue_settings(self) -> dict[str, QueueSettings]:
        """The settings of all queues that the handlers declare, and of those for large requests, which are served one at a time."""
        declared = {name: settings for handler in self for name, settings in handler.queues.items()}
        return {**{handler.large_queue: QueueSettings(parallel=1) for handler in self}, **declared}
