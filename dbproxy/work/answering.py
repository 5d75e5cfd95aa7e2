"""Answering a run: parse the bodies, ask the handler once for all of them, post the replies. Worker threads only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from dbproxy.errors import StoreError, StoreUnavailableError
from dbproxy.work.handler_map import Answer, FollowUp, Handler
from dbproxy.work.parsing import Parser
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.response_deque import Response, ResponseDeque

logger = logging.getLogger(__name__)

SLOW_ANSWER = 0.02
"""Seconds: answers of requests that are worked on one at a time do not wait for those behind them if these take longer."""


class Answering:
    """What a worker does with a run. Stateless apart from what it is given, so all workers share one."""

    def __init__(self, responses: ResponseDeque, resubmit: Callable[[Sequence[ProxyTask]], None], request_timeout: float) -> None:
        self._responses = responses
        self._resubmit = resubmit
        self._request_timeout = request_timeout

    def __call__(self, tasks: Sequence[ProxyTask]) -> None:
        """Answer, refuse or drop every task of a run; all of them share a lane, but in a slow lane not always a handler."""
        responses: list[Response] = []
        try:
            if tasks[0].follow_up is None and all(task.handler is tasks[0].handler for task in tasks):
                self._answer(tasks[0].handler, tasks, responses)
            else:
                for task in tasks:
                    self._answer_alone(task, responses)
        finally:
            self._responses.post(responses)

    def _answer(self, handler: Handler, tasks: Sequence[ProxyTask], responses: list[Response]) -> None:
        if handler.one_by_one and len(tasks) > 1:
            for task in tasks:  # each waits for those before it, which counts: a run must not take its number times as long as a task
                started_at = time.monotonic()
                self._answer(handler, (task,), responses)
                if time.monotonic() - started_at > SLOW_ANSWER:
                    self._responses.post(responses)
                    responses.clear()
            return
        ready: list[ProxyTask] = []
        oldest = time.monotonic() - self._request_timeout
        parser = Parser()
        for task in tasks:
            if not parser.parse(task):
                if handler.unreadable is not None:
                    self._reply(task, handler.unreadable(), responses)
            elif task.received_at < oldest:
                logger.error("waited longer than %g s (RequestTimeout): %s", self._request_timeout, task)
                self._refuse(task, responses)
            else:
                ready.append(task)
        parser.report()
        if not ready:
            return
        answered: list[Response] = []
        slow: list[tuple[ProxyTask, FollowUp]] = []
        try:
            answers = handler.answer([task.request for task in ready])
            for task, answer in zip(ready, answers, strict=True):
                if isinstance(answer, FollowUp):
                    slow.append((task, answer))
                else:
                    self._deliver(task, answer, answered)
        except Exception as error:  # noqa: BLE001 - logged and refused there; a worker must not die of it
            self._failed(handler, ready, error, responses)
        else:
            responses += answered  # all of them or none: nobody gets both an answer and a refusal
            for task, follow_up in slow:
                self._deliver(task, follow_up, responses)

    def _answer_alone(self, task: ProxyTask, responses: list[Response]) -> None:
        if task.follow_up is None:
            self._answer(task.handler, (task,), responses)
            return
        try:
            late = time.monotonic() - task.received_at > self._request_timeout
            answer = task.follow_up.without() if late else task.follow_up.work()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(task.handler, (task,), error, responses)
            return
        self._deliver(task, answer, responses)

    def _failed(self, handler: Handler, tasks: Sequence[ProxyTask], error: Exception, responses: list[Response]) -> None:
        """A backend failed, or the handler did: look-ups are tried one by one, so that one request cannot spoil those beside it."""
        if len(tasks) > 1 and handler.only_reads and not isinstance(error, StoreUnavailableError):
            for task in tasks:
                self._answer(handler, (task,), responses)
            return
        if isinstance(error, StoreError):
            logger.error("%s (and %d more of its run): %s", tasks[0], len(tasks) - 1, error)
        else:
            logger.error("%s (and %d more of its run) failed", tasks[0], len(tasks) - 1, exc_info=error)
        for task in tasks:
            self._refuse(task, responses)

    def _refuse(self, task: ProxyTask, responses: list[Response]) -> None:
        refuse = task.handler.refuse
        reply = None if refuse is None else refuse(task.request)
        if reply is not None:
            self._deliver(task, reply, responses)

    def _deliver(self, task: ProxyTask, answer: Answer, responses: list[Response]) -> None:
        if answer is None:
            return
        if isinstance(answer, FollowUp):
            task.follow_up = answer
            task.lane = answer.lane
            task.order_key = None
            self._resubmit((task,))
            return
        if task.handler.copies_attach_data:
            answer.attach_data = task.request.attach_data  # type: ignore[attr-defined, union-attr]
        self._reply(task, answer, responses)

    @staticmethod
    def _reply(task: ProxyTask, reply: Message, responses: list[Response]) -> None:
        responses.append((task.conn_uuid, task.handler.command.pack_reply(task.seq_num, reply.SerializeToString())))
