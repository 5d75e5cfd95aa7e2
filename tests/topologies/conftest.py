"""Fixtures of the tests of topologies."""

from __future__ import annotations

import pytest

from dbproxy.testing import GaleraStack, GroupStack


@pytest.fixture(scope="module", params=["dbproxy_galera", "dbproxy_group"])
def several_writers(request: pytest.FixtureRequest) -> GaleraStack | GroupStack:
    """A cluster whose servers all take writes; which one is there depends on the server (``--mysqld``), and the other one is skipped."""
    found: GaleraStack | GroupStack = request.getfixturevalue(request.param)
    return found
