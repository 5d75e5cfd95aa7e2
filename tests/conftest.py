"""For all tests: the fixtures of dbproxy.testing, and a watchdog that ends a run in which a test hangs."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator

import pytest

from dbproxy.testing import plugin

WATCHDOG_SECONDS = float(os.environ.get("DBPROXY_TEST_TIMEOUT", "120"))
_STDERR = os.fdopen(os.dup(2), "w")  # the real one: while a test runs, 2 is pytest's capture file


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "watchdog(seconds): this test may take so long, setup and teardown included")
    if not config.pluginmanager.has_plugin("dbproxy"):  # a checkout that is not installed has no entry points
        config.pluginmanager.register(plugin, "dbproxy")


def pytest_unconfigure() -> None:
    faulthandler.cancel_dump_traceback_later()
    _STDERR.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Show where every thread stands and end the run when a test hangs: a server under test that hangs would hang it for good."""
    marker = item.get_closest_marker("watchdog")
    seconds = float(marker.args[0]) if marker else WATCHDOG_SECONDS
    if sys.gettrace() is None:  # somebody who debugs takes their time
        faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
