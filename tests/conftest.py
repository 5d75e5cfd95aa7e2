"""For all tests: the fixtures of dbproxy.testing, empty or filled stores, and a watchdog that ends a run in which a test hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from typing import TextIO

import pytest

from dbproxy.testing import Stack, plugin, seed

WATCHDOG_SECONDS = float(os.environ.get("DBPROXY_TEST_TIMEOUT", "120"))
_STDERR = pytest.StashKey[TextIO]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--topologies", action="store_true", help="run the long tests of clusters, replicas and failovers, too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "watchdog(seconds): this test may take so long, setup and teardown included")
    config.addinivalue_line("markers", "data(users, groups): names of users, and group id → members, that the fixture stack creates")
    config.addinivalue_line("markers", "long: runs only with --topologies, because CI has no time for it")
    if not config.pluginmanager.has_plugin("dbproxy"):  # a checkout that is not installed has no entry points
        config.pluginmanager.register(plugin, "dbproxy")
    # at this moment 2 is the real stderr; while a test runs, and while this file is imported, it is pytest's capture file
    config.stash[_STDERR] = os.fdopen(os.dup(2), "w")
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # a run in the background of a script; programs that are started would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    config.stash[_STDERR].close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("topologies"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long; run it with scripts/test --topologies"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Show where every thread stands and end the run when a test hangs: a server under test that hangs would hang it for good."""
    marker = item.get_closest_marker("watchdog")
    seconds = float(marker.args[0]) if marker else WATCHDOG_SECONDS
    if sys.gettrace() is None:  # somebody who debugs takes their time
        faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def stack(request: pytest.FixtureRequest, dbproxy_stack: Stack) -> Stack:
    """Empty stores, with the users and groups of the marker ``data``. A proxy of the test (``dbproxy_proxy``) is running already."""
    if "dbproxy_proxy" in request.fixturenames:
        request.getfixturevalue("dbproxy_proxy")  # it empties the stores when it starts
    else:
        dbproxy_stack.reset()
    marker = request.node.get_closest_marker("data")
    if marker is not None:
        _create(dbproxy_stack, **marker.kwargs)
    return dbproxy_stack


def _create(stack: Stack, users: Sequence[str] = (), groups: Mapping[int, Sequence[int]] | None = None) -> None:
    seed.users(stack, *users)
    for group_id, members in (groups or {}).items():
        seed.group(stack, group_id, members)
