"""HandlerMap: which handler answers which command id."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf.message import Message

from dbproxy.wire.commands import Command


@dataclass(frozen=True, slots=True)
class FollowUp:
    """An answer that needs slow work first (fetching sounds): ``work`` is called later, in the lane named here, and returns the reply;
    or ``without``, when the request has waited for its turn for too long.
    """

    lane: str
    work: Callable[[], Message]
    without: Callable[[], Message]


Answer = Message | FollowUp | None
"""What a handler says to one request: a reply, a reply that takes time, or nothing."""


class Place(NamedTuple):
    """Where a request waits: its lane, and the key whose requests keep their order."""

    lane: str
    order_key: Hashable


@dataclass(frozen=True, slots=True)
class Handler:
    """How one command is answered. Every callable runs in a worker thread, except ``place``, which runs in the reactor thread.

    Attributes:
        command: ids and messages.
        answer: takes the requests of a run, returns one answer for each, in the same order.
        refuse: the reply to a request that a backend's failure or its own age left unanswered; None when there is no honest one.
        unreadable: the reply to a body that does not parse; None means silence, as nearly everywhere in this protocol.
        place: where a request waits when that depends on what is in it.
        one_by_one: the requests of a run are given to ``answer`` one at a time, so that each succeeds or fails for itself.
        only_reads: after a failure, a run may be answered again request by request.
        long_answers: its answers are long lists, see LaneSettings.
        copies_attach_data: the reply gets the request's attach_data, even an empty one.

    """

    command: Command
    answer: Callable[[Sequence[Any]], Sequence[Answer]]
    refuse: Callable[[Any], Message | None] | None = None
    unreadable: Callable[[], Message] | None = None
    place: Callable[[Any], Place] | None = None
    one_by_one: bool = False
    only_reads: bool = False
    long_answers: bool = False
    copies_attach_data: bool = True
    lane: str = field(default="")

    def __post_init__(self) -> None:
        if not self.lane:
            object.__setattr__(self, "lane", self.command.name)


class HandlerMap:
    """The handlers by command id. Filled before the reactor starts, read-only afterwards, so any thread may look."""

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._handlers: dict[int, Handler] = {}
        for handler in handlers:
            command_id = handler.command.command_id
            if command_id in self._handlers:
                raise ValueError(f"two handlers for command 0x{command_id:04x}")
            self._handlers[command_id] = handler

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def get(self, command_id: int) -> Handler | None:
        """Return the handler of a command id, or None."""
        return self._handlers.get(command_id)
