"""Traces: which requests somebody wants to see, and the queue between the workers that answer them and the thread that shows them.

A worker only decides whether a request matches and puts references to its bytes into a queue that is bounded in bytes; bodies are decoded
by the thread of the client. What finds no room is counted and not kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from dbproxy.errors import ControlRefusedError
from dbproxy.wire.decode import MAX_DECODED, decode, names_users, users_of
from dbproxy.work.batch import ANSWERED, DROPPED, FILE_SERVER, GIVEN_BACK, MYSQL, REDIS, Batch
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_stats import OUTCOMES
from dbproxy.work.tracing import Tracing

logger = logging.getLogger(__name__)

MAX_TRACES = 4
"""Traces at once."""

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Bytes of bodies that wait to be shown, for each trace, and MAX_QUEUED requests."""
MAX_QUEUED = 1000


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which requests a trace shows: all that match everything that is not None (or empty).

    ``user``: a user whom the request is from or about, see ``users_of``. ``peer``: IP address, or IP address and port as ``ip:port``.
    ``command_id``: of the request.
    """

    user: int | None = None
    peer: str = ""
    command_id: int | None = None

    def matches(self, task: ProxyTask) -> bool | None:
        """Whether a request matches; None when only its reply can tell. Needs no decoding: the worker has parsed it."""
        if self.command_id is not None and task.handler.command.command_id != self.command_id:
            return False
        if self.peer and self.peer != task.peer and self.peer != task.peer.rpartition(":")[0]:
            return False
        if self.user is None:
            return True
        if task.request is None:
            return False
        return self.user in users_of(task.request) if names_users(task.handler.command.request) else None


@dataclass(frozen=True, slots=True)
class _Body:
    """A body that is to be shown; ``data`` is None when it is too long for that."""

    kind: type[Message]
    length: int
    data: bytes | None

    def shown(self, contents: bool) -> dict[str, Any]:
        if self.data is None:
            return {"message": self.kind.__name__, "bytes": self.length, "problem": f"longer than {MAX_DECODED} bytes"}
        return decode(self.kind, self.data, contents=contents)

    def is_about(self, user: int) -> bool:
        try:
            return self.data is not None and user in users_of(self.kind.FromString(self.data))
        except DecodeError:
            return False


@dataclass(frozen=True, slots=True)
class _Event:
    facts: Mapping[str, Any]
    request: _Body
    reply: _Body | None
    undecided: bool

    @property
    def size(self) -> int:
        return sum(len(body.data) for body in (self.request, self.reply) if body is not None and body.data is not None)


class Trace:
    """One trace. Workers call ``offer``, the thread of the client ``take``."""

    def __init__(self, wanted: TraceFilter, *, contents: bool) -> None:
        self.wanted = wanted
        self._contents = contents
        self._guard = threading.Lock()
        self._events: deque[_Event] = deque()
        self._size = 0
        self.shown = 0
        """Requests that ``take`` has returned."""
        self.dropped = 0
        """Requests that matched and found no room in the queue."""

    def offer(self, event: _Event) -> None:
        """Put a request into the queue, or count it. Workers; never waits for the client."""
        size = event.size
        with self._guard:
            if len(self._events) >= MAX_QUEUED or self._size + size > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            self._events.append(event)
            self._size += size

    @property
    def waiting(self) -> bool:
        """Whether there is something to take. Any thread."""
        return bool(self._events)

    def take(self, limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` requests, oldest first, decoded and fit for JSON; see docs/CONTROL.md for what is in each."""
        with self._guard:
            events = [self._events.popleft() for _ in range(min(limit, len(self._events)))]
            self._size -= sum(event.size for event in events)
        items = [self._item(event) for event in events if not event.undecided or self._is_wanted(event)]
        self.shown += len(items)
        return items

    def _is_wanted(self, event: _Event) -> bool:
        return event.reply is not None and self.wanted.user is not None and event.reply.is_about(self.wanted.user)

    def _item(self, event: _Event) -> dict[str, Any]:
        reply = None if event.reply is None else event.reply.shown(self._contents)
        return {**event.facts, "request": event.request.shown(self._contents), "reply": reply}


class Traces:
    """The traces that are active. While there is none the workers know of none."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._guard = threading.Lock()
        self._active: tuple[Trace, ...] = ()

    def add(self, trace: Trace) -> None:
        """Begin a trace. Any thread. Raises ``ControlRefusedError`` when there are ``MAX_TRACES`` already."""
        with self._guard:
            if len(self._active) >= MAX_TRACES:
                raise ControlRefusedError(f"{MAX_TRACES} traces are active already")
            self._active = (*self._active, trace)
            self._tracing.tracer = self

    def remove(self, trace: Trace) -> None:
        """End a trace. Any thread."""
        with self._guard:
            self._active = tuple(other for other in self._active if other is not trace)
            if not self._active:
                self._tracing.tracer = None

    def record(self, batch: Batch, replies: Mapping[ProxyTask, Sequence[bytes]]) -> None:
        """See Tracer."""
        try:
            now = time.monotonic()
            for trace in self._active:
                for task in batch.tasks:
                    matches = trace.wanted.matches(task)
                    if matches is not False:
                        self._offer(trace, batch, task, replies.get(task), now, undecided=matches is None)
        except Exception:
            logger.exception("a batch of %d x %s could not be traced", len(batch.tasks), batch.tasks[0])

    @staticmethod
    def _offer(trace: Trace, batch: Batch, task: ProxyTask, reply: Sequence[bytes] | None, now: float, *, undecided: bool) -> None:
        outcome = _outcome(batch, task, reply)
        if outcome == GIVEN_BACK:
            return
        command = task.handler.command
        facts = {
            "received": time.time() - (now - task.received_at),
            "command": command.name,
            "peer": task.peer,
            "uuid": task.conn_uuid,
            "seq_num": task.seq_num,
            "outcome": OUTCOMES[outcome],
            "batch": len(batch.tasks),
            "waited": batch.started - task.received_at - task.worked_before,
            "worked": now - batch.started + task.worked_before,
            "mysql": batch.inside[MYSQL],
            "redis": batch.inside[REDIS],
            "file_server": batch.inside[FILE_SERVER],
        }
        body = None if reply is None or command.reply is None else _body(command.reply, reply)
        trace.offer(_Event(facts, _body(command.request, (task.body,)), body, undecided))


def _outcome(batch: Batch, task: ProxyTask, reply: Sequence[bytes] | None) -> int:
    """What became of a request; one of a command with replies that has none, although nothing was noted, was in a batch that failed."""
    if task in batch.outcomes:
        return batch.outcomes[task]
    return ANSWERED if reply is not None or task.handler.command.reply is None else DROPPED


def _body(kind: type[Message], parts: Sequence[bytes]) -> _Body:
    length = sum(map(len, parts))
    return _Body(kind, length, b"".join(parts) if length <= MAX_DECODED else None)
