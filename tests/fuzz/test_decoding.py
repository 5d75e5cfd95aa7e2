"""Any bytes as the body of any command: decoding never raises, and what it lets through has all that the handlers need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from bodies import bodies
from hypothesis import given, settings
from hypothesis import strategies as st

from dbproxy.wire.commands import COMMANDS
from dbproxy.wire.pdu import ImPdu
from dbproxy.work.dispatcher import Dispatcher
from dbproxy.work.handler_map import Handler, HandlerMap
from dbproxy.work.parsing import parse_request
from dbproxy.work.proxy_task import ProxyTask
from dbproxy.work.request_stats import RequestRecorder
from dbproxy.work.slow_requests import SlowRequests

HANDLERS = {number: Handler.each(command, lambda request: None) for number, command in COMMANDS.items()}

fuzz = settings(max_examples=60, derandomize=True, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Thousands of refused bodies are thousands of log lines, which pytest would all keep."""
    ours = logging.getLogger("dbproxy")
    before, ours.disabled = ours.level, False
    ours.setLevel(logging.CRITICAL)
    yield
    ours.setLevel(before)


@pytest.mark.parametrize("command_id", sorted(COMMANDS))
def test_no_body_makes_decoding_raise(command_id: int) -> None:
    parsed = []

    @fuzz
    @given(bodies(COMMANDS[command_id]))
    def decode(body: bytes) -> None:
        task = ProxyTask(HANDLERS[command_id], 1, "peer", 1, body, 0.0)
        if parse_request(task) is None:
            assert task.request is not None
            assert task.request.IsInitialized()
            parsed.append(body)
        else:
            assert task.request is None

    decode()
    assert len(parsed) > 5  # or the bodies are too bad to test anything behind the decoding


@fuzz
@given(st.lists(st.tuples(st.one_of(st.sampled_from(sorted(COMMANDS)), st.integers(0, 0xFFFF)), st.binary(max_size=30)), max_size=8))
def test_the_dispatcher_never_raises_and_makes_tasks_of_known_commands(pdus: list[tuple[int, bytes]]) -> None:
    submitted: list[ProxyTask] = []
    dispatcher = Dispatcher(HandlerMap(HANDLERS.values()), submitted.extend, RequestRecorder(SlowRequests()))
    dispatcher.dispatch(7, "peer", [ImPdu(3, command_id, number, body) for number, (command_id, body) in enumerate(pdus)])
    known = [(number, body) for number, (command_id, body) in enumerate(pdus) if command_id in COMMANDS]
    assert [(task.seq_num, task.body) for task in submitted] == known
