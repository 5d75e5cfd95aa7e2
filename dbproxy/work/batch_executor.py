"""BatchExecutor: parse the bodies of a batch, ask the handler once for all of them, post the replies. Worker threads only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message

from dbproxy.errors import StoreError, StoreUnavailableError
from dbproxy.work.batch import DROPPED, GIVEN_BACK, REFUSED, UNREADABLE, Batch
from dbproxy.work.handler_map import Answer, FollowUp, Handler, LazyAnswer
from dbproxy.work.outbox import Outbox, TracedOutbox
from dbproxy.work.parsing import Parser
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.response_deque import LARGE_REPLY, ResponseDeque
from dbproxy.work.tracing import Tracing
from dbproxy.work.worker_calls import WorkerCalls

logger = logging.getLogger(__name__)

SLOW_ANSWER = 0.02
"""Seconds: replies to requests that are worked on one at a time do not wait for those behind them if these take longer."""

MAX_PART_BYTES = 4096
"""Bytes of lookups that are answered at once; an id takes at least two of them."""

MAX_PART_ROWS = 2000
"""Rows that lookups may ask for at once; see ``Handler.rows``."""

REPLIES_PER_CHECK = 16
"""Short replies that are made before others may go on."""


class BatchExecutor:
    """What a worker does with a batch. Stateless apart from what it is given, so all workers share one.

    ``resubmit`` lets the second round of tasks wait for a worker, ``hold`` those whose connection does not take its replies. ``tracing``:
    whether anybody wants to see requests and replies.
    """

    def __init__(
        self,
        responses: ResponseDeque,
        calls: WorkerCalls,
        request_timeout: float,
        *,
        resubmit: Callable[[Sequence[ProxyTask]], None],
        hold: Callable[[Sequence[ProxyTask]], None],
        tracing: Tracing | None = None,
    ) -> None:
        self._responses = responses
        self._calls = calls
        self._request_timeout = request_timeout
        self._resubmit = resubmit
        self._hold = hold
        self._tracing = tracing or Tracing()

    def configure(self, request_timeout: float) -> None:
        """Change RequestTimeout, in seconds; it counts for batches that are begun from now on. Any thread."""
        self._request_timeout = request_timeout

    def __call__(self, batch: Batch) -> None:
        """Answer, refuse, hold or drop every task of a batch; all of them share a queue, but not always a handler."""
        tracer = self._tracing.tracer
        outbox = Outbox(self._responses) if tracer is None else TracedOutbox(self._responses)
        tasks = batch.tasks
        try:
            batch.uniform = tasks[0].follow_up is None and all(task.handler is tasks[0].handler for task in tasks)
            if batch.uniform:
                self._execute(batch, tasks[0].handler, tasks, outbox)
            else:
                for task in tasks:
                    self._execute_alone(batch, task, outbox)
        finally:
            outbox.post()
            if tracer is not None and isinstance(outbox, TracedOutbox):
                tracer.record(batch, outbox.replies)

    def _execute(self, batch: Batch, handler: Handler[Any], tasks: Sequence[ProxyTask], outbox: Outbox) -> None:
        if handler.unbatched and len(tasks) > 1:
            for task in tasks:  # each waits for those before it, which counts: a batch must not take its number times as long as a task
                started_at = time.monotonic()
                self._execute(batch, handler, (task,), outbox)
                if time.monotonic() - started_at > SLOW_ANSWER:
                    outbox.post()
            return
        ready: list[ProxyTask] = []
        oldest = time.monotonic() - self._request_timeout
        parser = Parser()
        for task in tasks:
            if not parser.parse(task):
                batch.note(task, UNREADABLE)
                if handler.unreadable is not None:
                    outbox.add(task, handler.unreadable().SerializeToString())
            elif task.received_at < oldest:
                logger.error(handler.command.name + ": waited longer than %g s (RequestTimeout): %s", self._request_timeout, task)
                self._refuse(batch, task, outbox)
            else:
                ready.append(task)
        parser.report()
        for part in _parts(batch, handler, ready):
            self._answer(batch, handler, self._hold_blocked(batch, handler, part, outbox), outbox)

    def _hold_blocked(self, batch: Batch, handler: Handler[Any], tasks: Sequence[ProxyTask], outbox: Outbox) -> Sequence[ProxyTask]:
        """Hold those lookups whose connections do not take the replies that the parts before this one have made; returns the others."""
        if not handler.retry_individually or not self._responses.under_pressure():
            return tasks
        outbox.post()
        blocked = [task for task in tasks if self._responses.is_blocked(task.conn_uuid)]
        if blocked:
            self._give_back(batch, blocked, self._hold)
            uuids = {task.conn_uuid for task in blocked}
            tasks = [task for task in tasks if task.conn_uuid not in uuids]
        return tasks

    def _answer(self, batch: Batch, handler: Handler[Any], tasks: Sequence[ProxyTask], outbox: Outbox) -> None:
        if not tasks:
            return
        batch.interruptible = handler.retry_individually
        batch.deadline = tasks[-1].received_at + self._request_timeout
        try:
            answers = handler.answer([task.request for task in tasks])
            pairs = list(zip(tasks, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - logged and refused there; a worker must not die of it
            self._failed(batch, handler, tasks, error, outbox)
            return
        finally:
            batch.interruptible = False
        try:
            self._reply_to_all(batch, handler, pairs, outbox)
        finally:
            self._calls.replies_posted()

    def _reply_to_all(
        self, batch: Batch, handler: Handler[Any], pairs: Sequence[tuple[ProxyTask, Answer | LazyAnswer]], outbox: Outbox
    ) -> None:
        """Make the replies one by one, for those connections that take them; what cannot be made fails for itself."""
        held: dict[int, list[ProxyTask]] = {}
        batch.interruptible = lookup = handler.retry_individually
        pressed = False
        try:
            for index, (task, answer) in enumerate(pairs):
                if lookup:
                    if not outbox.size or not index % REPLIES_PER_CHECK:
                        self._calls.between_replies()
                        pressed = self._responses.under_pressure()
                    if (pressed or held) and (task.conn_uuid in held or self._is_blocked(task, outbox)):
                        held.setdefault(task.conn_uuid, []).append(task)
                        continue
                try:
                    if callable(answer):
                        answer = answer()
                    if isinstance(answer, Message):
                        outbox.add_message(task, answer)
                    elif lookup and isinstance(answer, list) and self._must_wait_for_room(task, answer):
                        held.setdefault(task.conn_uuid, []).append(task)
                    else:
                        self._deliver(batch, task, answer, outbox)
                except StoreUnavailableError as error:  # the others would wait for the same backend
                    rest = [other for other, _ in pairs[index:]]
                    for other in rest:
                        if other.conn_uuid in held:
                            held[other.conn_uuid].append(other)
                    self._failed(batch, handler, [other for other in rest if other.conn_uuid not in held], error, outbox)
                    break
                except Exception as error:  # noqa: BLE001 - as above
                    self._failed(batch, handler, (task,), error, outbox)
        finally:
            batch.interruptible = False
            if held:
                self._give_back(batch, [task for tasks in held.values() for task in tasks], self._hold)

    def _must_wait_for_room(self, task: ProxyTask, parts: Sequence[bytes]) -> bool:
        """Whether a reply is large and finds no room: it is made again then."""
        if self._responses.has_room or sum(map(len, parts)) < LARGE_REPLY:
            return False
        self._responses.block_until_room(task.conn_uuid)
        return True

    def _is_blocked(self, task: ProxyTask, outbox: Outbox) -> bool:
        """Whether the task's connection has too much that is unsent, with all that this batch has made for it."""
        outbox.post()
        return self._responses.is_blocked(task.conn_uuid)

    def _execute_alone(self, batch: Batch, task: ProxyTask, outbox: Outbox) -> None:
        if task.follow_up is None:
            self._execute(batch, task.handler, (task,), outbox)
            return
        now = time.monotonic()
        late = now - task.received_at > self._request_timeout
        batch.interruptible = True
        batch.deadline = now + self._request_timeout
        try:
            self._deliver(batch, task, task.follow_up.without() if late else task.follow_up.work(), outbox)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(batch, task.handler, (task,), error, outbox)
        finally:
            batch.interruptible = False
            self._calls.replies_posted()

    def _failed(self, batch: Batch, handler: Handler[Any], tasks: Sequence[ProxyTask], error: Exception, outbox: Outbox) -> None:
        """A backend failed, or the handler did: lookups are tried one by one, so that one request cannot spoil those beside it."""
        if len(tasks) > 1 and handler.retry_individually and not isinstance(error, StoreUnavailableError):
            for task in tasks:
                self._answer(batch, handler, (task,), outbox)
            return
        if isinstance(error, StoreError):
            # the command is part of the format, because the lines of each format are limited for themselves
            logger.error(handler.command.name + ": %s (and %d more of its batch): %s", tasks[0], len(tasks) - 1, error)
        else:
            logger.error(handler.command.name + ": %s (and %d more of its batch) failed", tasks[0], len(tasks) - 1, exc_info=error)
        for task in tasks:
            self._refuse(batch, task, outbox)

    def _refuse(self, batch: Batch, task: ProxyTask, outbox: Outbox) -> None:
        refuse = task.handler.refuse
        reply = None if refuse is None else refuse(task.request)
        batch.note(task, DROPPED if reply is None else REFUSED)
        if reply is not None:
            self._deliver(batch, task, reply, outbox)

    def _give_back(self, batch: Batch, tasks: Sequence[ProxyTask], to: Callable[[Sequence[ProxyTask]], None]) -> None:
        """Hand over tasks that another batch will answer. They are noted before: another worker may have one a moment later."""
        for task in tasks:
            batch.note(task, GIVEN_BACK)
        to(tasks)

    def _deliver(self, batch: Batch, task: ProxyTask, answer: Answer, outbox: Outbox) -> None:
        if answer is None:
            return
        if isinstance(answer, FollowUp):
            task.follow_up = answer
            task.queue = answer.queue
            task.ordering_key = None
            task.worked_before = time.monotonic() - batch.started
            self._give_back(batch, (task,), self._resubmit)
            return
        if isinstance(answer, Message):
            outbox.add_message(task, answer)
        else:
            outbox.add_parts(task, answer)


def _parts(batch: Batch, handler: Handler[Any], tasks: Sequence[ProxyTask]) -> Iterator[Sequence[ProxyTask]]:
    """Cut lookups into parts within MAX_PART_BYTES and MAX_PART_ROWS, unless a part is a single task. What writes is not cut."""
    rows: Callable[[Any], int] = handler.rows or _no_rows
    if not handler.retry_individually or len(tasks) < 2 or (handler.rows is None and batch.body_bytes <= MAX_PART_BYTES):
        if tasks:
            yield tasks
        return
    part: list[ProxyTask] = []
    size = count = 0
    for task in tasks:
        length, asked = len(task.body), rows(task.request)
        if part and (size + length > MAX_PART_BYTES or count + asked > MAX_PART_ROWS):
            yield part
            part, size, count = [], 0, 0
        part.append(task)
        size += length
        count += asked
    yield part


def _no_rows(_request: Any) -> int:  # noqa: ANN401 - a request of any command
    return 0
