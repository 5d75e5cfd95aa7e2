"""Looking up host names with a limit, and connecting to what was found; with real sockets and a name service of the test's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from name_service import NameService, name_service

from dbproxy.stores import resolver as resolver_module
from dbproxy.stores.resolver import MAX_NAMES, Resolver
from dbproxy.testing.waiting import eventually


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    with name_service(monkeypatch) as service:
        yield service
        service.answer()
        assert eventually(lambda: service.under_way, 0) == 0


@pytest.fixture
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connect looks the name up again."""
    monkeypatch.setattr(resolver_module, "CACHE_TTL", 0.0)
    monkeypatch.setattr(resolver_module, "SERVE_STALE_AFTER", 0.1)


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


class Servers:
    """Listening sockets on addresses of 127.0.0.0/8, all at one port."""

    def __init__(self, exits: ExitStack) -> None:
        self._exits = exits
        self.port = 0

    def listen(self, address: str, backlog: int = 128) -> None:
        sock = self._exits.enter_context(socket.socket())
        sock.bind((address, self.port))
        sock.listen(backlog)
        self.port = sock.getsockname()[1]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with ExitStack() as exits:
        yield Servers(exits)


def peer(resolver: Resolver, host: str, port: int, timeout: float = 5) -> str:
    """Connect, and tell to which address."""
    with resolver.connect(host, port, timeout) as sock:
        assert sock.gettimeout() == timeout
        return str(sock.getpeername()[0])


def test_an_address_is_no_name(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.1")
    threads = threading.active_count()
    assert peer(resolver, "127.0.0.1", servers.port) == "127.0.0.1"
    assert resolver.addresses("::1", 7, 1) == [(socket.AF_INET6, ("::1", 7, 0, 0))]
    assert (threading.active_count(), names.asked) == (threads, [])


def test_addresses_are_cached_for_a_while(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.1")
    names.hosts["db.test"] = ["127.0.0.1"]
    for _ in range(3):
        assert peer(resolver, "db.test", servers.port) == "127.0.0.1"
    assert names.asked == ["db.test"]


def test_the_addresses_are_tried_in_their_order(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.3")
    servers.listen("127.0.0.4")
    names.hosts["db.test"] = ["::1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert peer(resolver, "db.test", servers.port) == "127.0.0.3"
    names.hosts["down.test"] = ["127.0.0.2", "127.0.0.5"]
    with pytest.raises(ConnectionRefusedError):
        resolver.connect("down.test", servers.port, 5)


def test_an_address_without_reply_leaves_time_for_the_next(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.2", backlog=0)
    servers.listen("127.0.0.3")
    names.hosts["db.test"] = ["127.0.0.2", "127.0.0.3"]
    names.hosts["silent.test"] = ["127.0.0.2"]
    with socket.create_connection(("127.0.0.2", servers.port)):  # nobody accepts it, and there is no room for a second one
        assert peer(resolver, "db.test", servers.port, timeout=1) == "127.0.0.3"
        with pytest.raises(TimeoutError):
            resolver.connect("silent.test", servers.port, 0.2)


def test_a_lookup_that_hangs_ends_the_wait_and_is_the_only_one(resolver: Resolver, names: NameService) -> None:
    names.hanging = True
    for _ in range(3):
        with pytest.raises(socket.gaierror, match=r"lookup of host db\.test did not end within 0\.1 s"):
            resolver.connect("db.test", 1, 0.1)
    assert (names.asked, names.under_way) == (["db.test"], 1)


def test_concurrent_connects_to_one_name_share_one_lookup(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.1")
    names.hosts["db.test"] = ["127.0.0.1"]
    names.hanging = True
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(peer(resolver, "db.test", servers.port))) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: names.under_way, 1) == 1
    names.answer()
    for thread in threads:
        thread.join(10)
    assert (found, names.asked) == (["127.0.0.1"] * 20, ["db.test"])


@pytest.mark.usefixtures("never_fresh")
def test_stale_addresses_are_used_while_a_lookup_hangs_or_fails(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.1")
    names.hosts["db.test"] = ["127.0.0.1"]
    assert peer(resolver, "db.test", servers.port) == "127.0.0.1"
    names.hanging = True
    for _ in range(5):
        assert peer(resolver, "db.test", servers.port) == "127.0.0.1"
    assert (len(names.asked), names.under_way) == (2, 1)
    names.hosts["db.test"] = []
    names.answer()
    assert eventually(lambda: names.under_way, 0) == 0
    for _ in range(5):
        assert peer(resolver, "db.test", servers.port) == "127.0.0.1"
    assert len(names.asked) > 2


@pytest.mark.usefixtures("never_fresh")
def test_the_next_connect_uses_a_new_address(
    resolver: Resolver, servers: Servers, names: NameService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "SERVE_STALE_AFTER", 10.0)
    for address in ("127.0.0.2", "127.0.0.3"):
        servers.listen(address)
        names.hosts["db.test"] = [address]
        assert peer(resolver, "db.test", servers.port) == address


@pytest.mark.usefixtures("never_fresh")
def test_the_late_result_of_a_lookup_is_used_by_the_next_connect(resolver: Resolver, servers: Servers, names: NameService) -> None:
    for address in ("127.0.0.2", "127.0.0.3"):
        servers.listen(address)
    names.hosts["db.test"] = ["127.0.0.2"]
    assert peer(resolver, "db.test", servers.port) == "127.0.0.2"
    names.hosts["db.test"] = ["127.0.0.3"]
    names.hanging = True
    assert peer(resolver, "db.test", servers.port) == "127.0.0.2"
    names.answer()
    assert eventually(lambda: peer(resolver, "db.test", servers.port), "127.0.0.3") == "127.0.0.3"


def test_an_unknown_name_is_looked_up_again(resolver: Resolver, servers: Servers, names: NameService) -> None:
    servers.listen("127.0.0.1")
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="Temporary failure"):
            resolver.connect("db.test", servers.port, 5)
    names.hosts["db.test"] = ["127.0.0.1"]
    assert peer(resolver, "db.test", servers.port) == "127.0.0.1"


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "a..test", "\udcff.test", "a\0b.test"])
def test_an_invalid_name_is_an_error_of_the_lookup(resolver: Resolver, host: str) -> None:
    with pytest.raises(socket.gaierror):
        resolver.connect(host, 1, 5)


def test_the_number_of_names_and_threads_is_bounded(resolver: Resolver, names: NameService) -> None:
    names.hosts = {f"h{number}.test": ["127.0.0.1"] for number in range(MAX_NAMES + 5)}
    for host in names.hosts:
        resolver.addresses(host, 1, 5)
    assert len(resolver._names) == MAX_NAMES
    names.hanging = True
    for number in range(MAX_NAMES):
        with pytest.raises(socket.gaierror, match="did not end"):
            resolver.addresses(f"slow{number}.test", 1, 0.001)
    with pytest.raises(socket.gaierror, match="other hosts are being looked up"):
        resolver.addresses("another.test", 1, 0.001)
    assert names.under_way == len(resolver._names) == MAX_NAMES
