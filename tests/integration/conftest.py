"""Shared by the integration tests: a log without defects, and the proof that a request is not answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.protobuf.message import Message

from dbproxy.testing import Client

Unanswered = Callable[[Client, Message], None]


@pytest.fixture
def no_defects(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The proxy in this process must not log a traceback: whatever is asked, it is a case that somebody thought of."""
    yield
    defects = [record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when) if record.exc_info]
    assert defects == []


@pytest.fixture
def unanswered() -> Unanswered:
    """Send a request and see that nothing comes back although the proxy has long answered another one."""

    def send(client: Client, request: Message) -> None:
        client.send(request)
        assert client.unread(1).user_id == 1
        assert client.silent(0.15)

    return send
