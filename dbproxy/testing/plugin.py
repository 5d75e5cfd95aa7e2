"""The pytest plugin: fixtures ``dbproxy_stack``, ``dbproxy_proxy`` and ``dbproxy_client``; ``dbproxy_galera``, ``dbproxy_replicas``,
``dbproxy_sentinels`` and ``dbproxy_cluster`` for other topologies; the marker ``dbproxy``, and the options ``--mysqld`` and
``--redis-server``.

It is loaded into every pytest run of an environment in which this package is installed, so it imports nothing before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbproxy.testing.client import Client
    from dbproxy.testing.cluster import ClusterStack
    from dbproxy.testing.galera import GaleraStack
    from dbproxy.testing.proxy import InProcessProxy
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


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and choose the server programs for everything that is started from now on.

    Raises:
        pytest.UsageError: a program that was chosen cannot be run.

    """
    config.addinivalue_line("markers", "dbproxy(**keys): keys of dbproxyserver.conf for the fixture dbproxy_proxy")
    chosen = config.getoption("mysqld", None), config.getoption("redis_server", None)
    if any(chosen):
        from dbproxy.errors import StartupError
        from dbproxy.testing.private_server import choose_servers

        try:
            choose_servers(*chosen)
        except StartupError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def dbproxy_stack() -> Iterator[Stack]:
    """Start one private MariaDB and Redis for the whole run; a test that wants them empty calls ``reset()``."""
    from dbproxy.testing.stack import Stack

    with Stack() as stack:
        yield stack


@pytest.fixture
def dbproxy_proxy(request: pytest.FixtureRequest, dbproxy_stack: Stack) -> Iterator[InProcessProxy]:
    """Run a proxy on empty stores; ``@pytest.mark.dbproxy(SyncInterval=0.2)`` changes keys of its configuration."""
    from dbproxy.testing.proxy import InProcessProxy

    overrides: dict[str, object] = {"StopGrace": 1}
    for mark in reversed(list(request.node.iter_markers("dbproxy"))):  # the nearest one wins
        overrides |= mark.kwargs
    dbproxy_stack.reset()
    with InProcessProxy(dbproxy_stack, overrides) as proxy:
        yield proxy


@pytest.fixture
def dbproxy_client(dbproxy_proxy: InProcessProxy) -> Iterator[Client]:
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
