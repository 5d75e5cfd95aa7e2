"""The pytest plugin: fixtures ``dbproxy_stack``, ``dbproxy_proxy`` and ``dbproxy_client``; ``dbproxy_galera``, ``dbproxy_group``,
``dbproxy_replicas``, ``dbproxy_sentinels`` and ``dbproxy_cluster`` for other topologies; the marker ``dbproxy``; and options that choose
the program under test and the servers.

It is loaded into every pytest run of an environment in which this package is installed, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dbproxy.testing.client import Client
    from dbproxy.testing.cluster import ClusterStack
    from dbproxy.testing.galera import GaleraStack
    from dbproxy.testing.group_replication import GroupStack
    from dbproxy.testing.proxy import InProcessProxy, ProxyProcess
    from dbproxy.testing.replica_stack import ReplicaStack
    from dbproxy.testing.sentinel import SentinelStack
    from dbproxy.testing.stack import Stack


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the servers."""
    group = parser.getgroup("dbproxy")
    group.addoption("--mysqld", metavar="PATH", help="run the tests on this MariaDB or MySQL server program (or set DBPROXY_MYSQLD)")
    group.addoption(
        "--redis-server", metavar="PATH", help="run the tests on this Redis or Valkey server program (or set DBPROXY_REDIS_SERVER)"
    )

    help_text = "test this db_proxy_server instead of dbproxy: a command line, quoted as for a shell (or set DBPROXY_COMMAND)"
    group.addoption("--dbproxy-command", metavar="COMMAND", help=help_text)
    parser.addini("dbproxy_command", help_text, default="")
    help_text = "an empty database for the tests: mysql://user:password@host:port/database (or set DBPROXY_TEST_MYSQL)"
    group.addoption("--dbproxy-mysql", metavar="URL", help=help_text)
    help_text = "an empty database for the tests: redis://[user:password@]host:port/number (or set DBPROXY_TEST_REDIS)"
    group.addoption("--dbproxy-redis", metavar="URL", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and choose programs and servers for everything that is started from now on.

    Raises:
        pytest.UsageError: a program that was chosen cannot be run.

    """
    config.addinivalue_line("markers", "dbproxy(**keys): keys of dbproxyserver.conf for the fixture dbproxy_proxy")
    servers = config.getoption("mysqld", None), config.getoption("redis_server", None)
    command = config.getoption("dbproxy_command", None) or config.getini("dbproxy_command")
    urls = {"DBPROXY_TEST_MYSQL": config.getoption("dbproxy_mysql", None), "DBPROXY_TEST_REDIS": config.getoption("dbproxy_redis", None)}
    if not any(servers) and not command and not any(urls.values()):
        return
    from dbproxy.errors import StartupError
    from dbproxy.testing.choice import choose_proxy
    from dbproxy.testing.private_server import choose_servers

    os.environ.update({name: url for name, url in urls.items() if url})
    try:
        choose_servers(*servers)
        if command:
            choose_proxy(command)
    except StartupError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def dbproxy_stack() -> Iterator[Stack]:
    """Start one MariaDB and Redis for the whole run, or use those that were chosen; a test that wants them empty calls ``reset()``."""
    from dbproxy.testing.existing import chosen_stack

    with chosen_stack() as stack:
        yield stack


_PROXIES = pytest.StashKey["dict[str, ProxyProcess]"]()
"""Of the session: name of a fixture → the proxy that it has given last."""

_NEVER_READY = pytest.StashKey["dict[str, str]"]()
"""Of the session: configuration keys → how a start of the program under test with them has ended."""


@pytest.fixture
def dbproxy_proxy(request: pytest.FixtureRequest, dbproxy_stack: Stack) -> Iterator[InProcessProxy | ProxyProcess]:
    """Run a proxy on empty stores; ``@pytest.mark.dbproxy(SyncInterval=0.2)`` changes keys of its configuration. It is in this process,
    unless another program was chosen.
    """
    from dbproxy.testing.choice import chosen_proxy
    from dbproxy.testing.process import NotReadyError
    from dbproxy.testing.proxy import InProcessProxy, ProxyProcess

    overrides: dict[str, object] = {"StopGrace": 1}
    for mark in reversed(list(request.node.iter_markers("dbproxy"))):  # the nearest one wins
        overrides |= mark.kwargs
    dbproxy_stack.reset()
    if not chosen_proxy():
        with InProcessProxy(dbproxy_stack, overrides) as proxy:
            yield proxy
        return
    never_ready, keys = request.session.stash.setdefault(_NEVER_READY, {}), repr(sorted(overrides.items()))
    if keys in never_ready:
        pytest.fail(f"not started again, because it never got ready before: {never_ready[keys]}", pytrace=False)
    process = ProxyProcess(dbproxy_stack, overrides)
    try:
        process.start()
    except NotReadyError as error:
        never_ready[keys] = str(error)
        raise
    with process:
        yield process


@pytest.fixture
def dbproxy_client(dbproxy_proxy: InProcessProxy | ProxyProcess) -> Iterator[Client]:
    """Connect to the running proxy."""
    with dbproxy_proxy.client() as client:
        yield client


@pytest.fixture(scope="module")
def dbproxy_galera() -> Iterator[GaleraStack]:
    """Start a Galera cluster of two nodes and a Redis for the tests of a module, which are skipped where Galera is not installed."""
    from dbproxy.testing.galera import GaleraStack
    from dbproxy.testing.galera_node import missing_for_galera

    reason = missing_for_galera()
    if reason:
        pytest.skip(reason)
    with GaleraStack(nodes=2) as stack:
        yield stack


@pytest.fixture(scope="module")
def dbproxy_group() -> Iterator[GroupStack]:
    """Start a replication group of three MySQL servers that all take writes, and a Redis, for the tests of a module; they are skipped
    where the servers are MariaDB.
    """
    from dbproxy.testing.group_replication import GroupStack, missing_for_group_replication

    reason = missing_for_group_replication()
    if reason:
        pytest.skip(reason)
    with GroupStack(nodes=3) as stack:
        yield stack


@pytest.fixture(scope="module")
def dbproxy_replicas() -> Iterator[ReplicaStack]:
    """Start a private primary with two replicas and a Redis for the tests of a module; who wants them empty and replicating calls
    ``reset()``.
    """
    from dbproxy.testing.replica_stack import ReplicaStack

    with ReplicaStack(replicas=2) as stack:
        yield stack


@pytest.fixture(scope="module")
def dbproxy_sentinels() -> Iterator[SentinelStack]:
    """Start a MariaDB, and a Redis with two replicas and three Sentinels, for the tests of a module."""
    from dbproxy.testing.sentinel import SentinelStack

    with SentinelStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def dbproxy_cluster() -> Iterator[ClusterStack]:
    """Start a Redis Cluster of three masters with a replica each, and a MariaDB, for the whole run; tests call ``reset()``."""
    from dbproxy.testing.cluster import ClusterStack

    with ClusterStack() as stack:
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Remember which fixtures give a proxy."""
    __tracebackhide__ = True  # of every fixture that fails
    value = yield
    module = sys.modules.get("dbproxy.testing.proxy")  # not imported: there is none
    if module is not None and isinstance(value, module.ProxyProcess):
        request.session.stash.setdefault(_PROXIES, {})[fixturedef.argname] = value
    return value


def pytest_fixture_post_finalizer(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Forget the proxy of a fixture that has ended."""
    request.session.stash.get(_PROXIES, {}).pop(fixturedef.argname, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of every program under test whether it has died or hangs, when a test with it or a fixture has failed."""
    report = yield
    if not report.failed or call.when == "teardown" or call.excinfo is None:
        return report
    for proxy in _proxies_of(item, call.excinfo):
        condition = proxy.condition_at_error or proxy.condition
        report.sections.append(("the program under test", f"it {condition}; the end of {proxy.log_path}:\n{proxy.log(last=25)}"))
    return report


def _proxies_of(item: pytest.Item, failure: pytest.ExceptionInfo[BaseException]) -> list[ProxyProcess]:
    """Return the proxies of the fixtures of a test, and of the variables of the functions that it was in when it failed. None if one did
    not start: that error says everything.
    """
    module = sys.modules.get("dbproxy.testing.proxy")
    if module is None or failure.errisinstance(module.StartupError):
        return []
    known = item.session.stash.get(_PROXIES, {})
    values = [known.get(name) for name in getattr(item, "fixturenames", ())]
    for entry in failure.traceback:
        values += list(entry.frame.f_locals.values())
    return list({id(value): value for value in values if isinstance(value, module.ProxyProcess)}.values())
