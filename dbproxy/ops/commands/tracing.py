"""The command that shows requests and replies as they pass."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time

from dbproxy.errors import ControlRefusedError
from dbproxy.ops.control_protocol import Arguments
from dbproxy.ops.control_session import Items, Session
from dbproxy.ops.trace import Trace, TraceFilter, Traces
from dbproxy.wire.command_names import find_command

logger = logging.getLogger(__name__)

LONGEST_TRACE = 86400.0
TRACE_SECONDS = 10.0
"""How long a trace lasts when the request does not say."""

TURN = 0.1
"""Seconds between two looks into the queue of a trace."""

PER_TURN = 100
"""Requests that are decoded in one turn. What more comes waits and then is dropped: so a trace of everything costs the service little."""


class TraceRequests:
    """``trace``: requests and replies that match, for a while."""

    name = "trace"

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield each request, and ``{"shown": n, "dropped": n}`` at the end."""
        seconds = arguments.seconds("seconds", TRACE_SECONDS, 0.1, LONGEST_TRACE)
        contents = arguments.switch("contents")
        wanted = TraceFilter(
            user=arguments.whole("user", 0, 0, 2**32 - 1) if arguments.optional("user") else None,
            peer=_peer(arguments.text("peer")) if arguments.optional("peer") else "",
            command_id=_command_id(arguments.text("request_command")) if arguments.optional("request_command") else None,
        )
        arguments.finish()
        trace = Trace(wanted, contents=contents)
        self._traces.add(trace)
        logger.warning("a trace of requests begins for %g s%s", seconds, ", with the contents of messages" if contents else "")
        try:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0 and session.pause(min(TURN, left)):
                yield from trace.take(PER_TURN)
        finally:
            self._traces.remove(trace)
            logger.info("a trace of requests ends: %d shown, %d dropped", trace.shown, trace.dropped)
        while trace.waiting:
            yield from trace.take(PER_TURN)
        yield {"shown": trace.shown, "dropped": trace.dropped}


def _peer(text: str) -> str:
    for address in (text, text.rpartition(":")[0]):
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(address)
            return text
    raise ControlRefusedError(f"peer={text[:100]!r}: expected an IP address, or IP address:port as in the log")


def _command_id(text: str) -> int:
    try:
        return find_command(text).command_id
    except ValueError as error:
        raise ControlRefusedError(f"request_command: {error}") from None
