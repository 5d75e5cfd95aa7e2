"""Shared by the fault tests: stores that are empty before each test, and emptied and mended after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbproxy.testing import Stack


@pytest.fixture
def stack(dbproxy_stack: Stack) -> Iterator[Stack]:
    """Empty stores; afterwards servers that were killed or frozen are started and thawed, and everything is emptied."""
    dbproxy_stack.reset()
    yield dbproxy_stack
    dbproxy_stack.reset()
