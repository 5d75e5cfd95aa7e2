"""Shared by the integration tests: a log without defects, the proof that a request is not answered, what dbproxy-admin
works with, and its web application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from admin_site import AdminApp
from administering import administration_of
from google.protobuf.message import Message

from dbproxy.admin.administration import Administration
from dbproxy.testing import Client, Stack

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


@pytest.fixture
def administration(stack: Stack) -> Iterator[Administration]:
    """What services of dbproxy-admin are made with."""
    with administration_of(stack) as opened:
        yield opened


@pytest.fixture
def admin_app(stack: Stack, tmp_path: Path) -> Iterator[AdminApp]:
    """The web application of dbproxy-admin in this process, connected to the backends; ``admin_app.visitor(Role.OWNER)`` logs in."""
    with AdminApp(stack, tmp_path) as app:
        assert app.site.backends.wait(30), app.site.backends.problem
        yield app
