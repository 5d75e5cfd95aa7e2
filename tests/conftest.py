"""For all tests: the fixtures of dbproxy.testing, and a watchdog that ends a run in which a test hangs."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator
from typing import TextIO

import pytest

from dbproxy.testing import plugin

WATCHDOG_SECONDS = float(os.environ.get("DBPROXY_TEST_TIMEOUT", "120"))
_STDERR = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "watchdog(seconds): this test may take so long, setup and teardown included")
    if not config.pluginmanager.has_plugin("dbproxy"):  # a checkout that is not installed has no entry points
        config.pluginmanager.register(plugin, "dbproxy")
    # at this moment 2 is the real stderr; while a test runs, and while this file is imported, it is pytest's capture file
    config.stash[_STDERR] = os.fdopen(os.dup(2), "w")


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    config.stash[_STDERR].close()


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
