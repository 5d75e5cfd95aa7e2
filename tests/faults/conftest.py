"""Shared by the fault tests: stores that are repaired and emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbproxy.testing import Stack


@pytest.fixture
def stack(stack: Stack) -> Iterator[Stack]:
    """Afterwards start servers that were killed, continue servers that were stopped, and empty the stores."""
    yield stack
    stack.reset()
