"""From PDU to task: finds the handler and the place in which a request waits. Reactor thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from dbproxy.wire.commands import HEARTBEAT_COMMAND_ID
from dbproxy.wire.pdu import ImPdu
from dbproxy.work.handler_map import HandlerMap
from dbproxy.work.parsing import Parser
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_queues import LARGE_BODY
from dbproxy.work.request_stats import RequestRecorder

logger = logging.getLogger(__name__)


class Dispatcher:
    """Turns the PDUs of one read into tasks and has them wait together."""

    def __init__(self, handlers: HandlerMap, put: Callable[[Sequence[ProxyTask]], None], recorder: RequestRecorder) -> None:
        self._handlers = handlers
        self._put = put
        self._recorder = recorder

    def dispatch(self, conn_uuid: int, peer: str, pdus: Sequence[ImPdu], received_at: float | None = None) -> None:
        """Have the requests among these PDUs wait for a worker. Heartbeats are not answered; what nobody handles is logged, with one line
        for all of it. ``received_at`` (monotonic time): when they came, if not at this moment.
        """
        now = time.monotonic() if received_at is None else received_at
        parser = Parser()
        unknown: list[int] = []
        tasks: list[ProxyTask] = []
        for pdu in pdus:
            handler = self._handlers.get(pdu.command_id)
            if handler is None:
                if pdu.command_id != HEARTBEAT_COMMAND_ID:
                    unknown.append(pdu.command_id)
                continue
            task = ProxyTask(handler, conn_uuid, peer, pdu.seq_num, pdu.body, now)
            if handler.routing is not None:
                if not parser.parse(task):
                    self._recorder.unreadable(handler.command.name)
                    continue
                routing = handler.routing(task.request)
                task.queue, task.ordering_key = routing.queue, routing.ordering_key
            elif len(pdu.body) > LARGE_BODY:
                task.queue = handler.large_queue
            tasks.append(task)
        parser.report()
        if unknown:
            more = len(unknown) - 1
            logger.warning("unknown command 0x%04x ignored (and %d more) [peer=%s uuid=%d]", unknown[0], more, peer, conn_uuid)
        if tasks:
            self._put(tasks)
