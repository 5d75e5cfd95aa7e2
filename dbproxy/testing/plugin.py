"""The pytest plugin: fixtures ``dbproxy_stack``, ``dbproxy_proxy`` and ``dbproxy_client``; ``dbproxy_galera``, ``dbproxy_replicas``,
``dbproxy_sentinels`` and ``dbproxy_cluster`` for other topologies; the marker ``dbproxy``; and options that choose the program under test
and the servers.

It is loaded into every pytest run of an environment in which this package is installed, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbproxy.testing.client import Client
    from dbproxy.testing.cluster import ClusterStack
    from dbproxy.testing.galera import GaleraStack
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


_PROXY = pytest.StashKey["InProcessProxy | ProxyProcess"]()


@pytest.fixture
def dbproxy_proxy(request: pytest.FixtureRequest, dbproxy_stack: Stack) -> Iterator[InProcessProxy | ProxyProcess]:
    """Run a proxy on empty stores; ``@pytest.mark.dbproxy(SyncInterval=0.2)`` changes keys of its configuration. It is in this process,
    unless another program was chosen.
    """
    from dbproxy.testing.choice import chosen_proxy
    from dbproxy.testing.proxy import InProcessProxy, ProxyProcess

    overrides: dict[str, object] = {"StopGrace": 1}
    for mark in reversed(list(request.node.iter_markers("dbproxy"))):  # the nearest one wins
        overrides |= mark.kwargs
    dbproxy_stack.reset()
    kind = ProxyProcess if chosen_proxy() else InProcessProxy
    with kind(dbproxy_stack, overrides) as proxy:
        request.node.stash[_PROXY] = proxy
        yield proxy


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
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a program under test whether it has died, when a test with it has failed."""
    report = yield
    proxy = item.stash.get(_PROXY, None)
    if proxy is None or not report.failed or call.when != "call":
        return report
    from dbproxy.testing.proxy import ProxyProcess

    if isinstance(proxy, ProxyProcess):
        report.sections.append(("the program under test", f"it {proxy.condition}; the end of {proxy.log_path}:\n{proxy.log(last=25)}"))
    return report
