"""Backends that are configured by a host name, and a name service that hangs: what needs no lookup goes on, and what does ends in time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from name_service import NameService, name_service

from dbproxy.stores import resolver
from dbproxy.testing import Client, FileServer, InProcessProxy, ProxyProcess, Stack, StartupError
from dbproxy.testing.waiting import eventually

MYSQL, REDIS = "mysql.test", "redis.test"

HOSTS = {
    MYSQL: ["teamtalk_master_host", "teamtalk_slave_host"],
    REDIS: ["unread_host", "token_host", "group_set_host", "group_member_host", "sync_host"],
}

TIMEOUTS = {"DBConnectTimeout": 1, "CacheConnectTimeout": 1, "FileServerTimeout": 1, "StopGrace": 1, "SyncInterval": 3600}

by_name = {key: host for host, keys in HOSTS.items() for key in keys}


pytestmark = pytest.mark.data(users=["alice", "bob"])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    monkeypatch.setattr(resolver, "CACHE_TTL", 0.0)  # each connect asks again
    with name_service(monkeypatch) as service:
        service.hosts = {host: ["127.0.0.1"] for host in (*HOSTS, "files.test")}
        yield service


def lose_connections(stack: Stack) -> None:
    """Close all connections of the proxy, so that the next requests connect anew."""
    for row in stack.rows("select id from information_schema.processlist where user=%s and id<>connection_id()", (stack.mariadb.user,)):
        stack.rows(f"kill {row['id']}")
    with stack.redis() as redis:
        redis.client_kill_filter(_type="normal", skipme=True)


def works(client: Client) -> bool:
    """Whether commands are answered that read and write, in MySQL and in Redis."""
    assert client.login("alice").result_code == 0
    assert client.set_device_token(1, "abc").user_id == 1
    return bool(client.send_message(1, 2).msg_id)


def test_requests_are_answered_from_stale_addresses_while_lookups_hang(stack: Stack, names: NameService) -> None:
    with InProcessProxy(stack, {**TIMEOUTS, **by_name}) as proxy, proxy.client(timeout=5) as client:
        assert works(client)
        names.hanging = True
        for _ in range(3):
            lose_connections(stack)
            assert works(client)
        assert names.under_way == len(HOSTS)  # one for each name, however many connects


def test_requests_are_answered_from_stale_addresses_while_lookups_fail(stack: Stack, names: NameService) -> None:
    with InProcessProxy(stack, {**TIMEOUTS, **by_name}) as proxy, proxy.client(timeout=5) as client:
        names.hosts.clear()
        lose_connections(stack)
        assert works(client)


def test_a_new_address_of_a_backend_is_followed(stack: Stack, names: NameService) -> None:
    with InProcessProxy(stack, {**TIMEOUTS, **by_name}) as proxy, proxy.client(timeout=5) as client:
        names.hosts = {host: ["127.0.0.9"] for host in HOSTS}  # nothing listens there
        lose_connections(stack)
        assert client.login("alice").result_code == 2
        names.hosts = {host: ["127.0.0.9", "127.0.0.1"] for host in HOSTS}
        assert works(client)


@pytest.mark.parametrize("host", HOSTS)
def test_a_start_whose_lookup_hangs_fails_within_the_connect_timeout(stack: Stack, names: NameService, host: str) -> None:
    names.hanging = True
    with pytest.raises(StartupError, match=rf"{host}.*did not end within 1 s.*{HOSTS[host][0].removesuffix('_host')}_host"):
        InProcessProxy(stack, {**TIMEOUTS, **dict.fromkeys(HOSTS[host], host), "StartTimeout": 0}).start()
    assert (names.asked, names.under_way) == ([host], 1)  # it was not waited for


def test_a_file_server_whose_lookup_hangs_refuses_sounds_in_time(stack: Stack, names: NameService) -> None:
    with (
        FileServer() as files,
        InProcessProxy(stack, {**TIMEOUTS, "MsfsSite": files.site.replace("127.0.0.1", "files.test")}) as proxy,
        proxy.client(timeout=5) as client,
    ):
        names.hanging = True
        assert client.send_sound(1, 2, b"sound").msg_id == 0
        assert names.under_way == 1
        assert works(client)
        names.answer()
        assert eventually(lambda: client.send_sound(1, 2, b"sound").msg_id > 0, True)
        assert set(names.asked) == {"files.test"}


def test_a_name_that_is_unknown_ends_the_start(stack: Stack) -> None:
    proxy = ProxyProcess(stack, {"teamtalk_master_host": "nowhere.invalid", "StartTimeout": 0})
    with pytest.raises(StartupError, match=r"MySQL instance teamtalk_master at nowhere\.invalid:\d+.*teamtalk_master_host"):
        proxy.start()
    assert proxy.returncode == 3


def test_localhost_is_a_name_like_others(stack: Stack) -> None:
    keys = dict.fromkeys(by_name, "localhost")
    with ProxyProcess(stack, keys) as proxy, proxy.client() as client:
        assert works(client)
