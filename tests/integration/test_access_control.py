"""Who may connect, and how the proxy shows the Redis instances who it is."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping

import pytest

from dbproxy.log import REPEAT_LIMIT
from dbproxy.testing import Client, ConnectionClosedError, PrivateRedis, ProxyProcess, Stack, StartupError
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import login_pb2

REFUSED = re.compile(r"connection refused: not among AllowedPeers \[peer=127\.0\.0\.2:\d+\](?: \.\.\. repeated (\d+) more times?)?")


pytestmark = pytest.mark.data(users=["alice", "bob"])


def may_enter(proxy: ProxyProcess, source: str) -> bool:
    """Whether a connection from this address is answered; False when it is closed before anything is said."""
    with Client(proxy.host, proxy.port, source=source) as client:
        try:
            return client.unread(1).user_id == 1
        except ConnectionClosedError:
            return False


@pytest.mark.parametrize(
    ("allowed", "welcome", "unwelcome"),
    [
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
        ("10.0.0.0/8,127.0.0.2", ["127.0.0.2"], ["127.0.0.1"]),
        ("127.0.0.6/31", ["127.0.0.6", "127.0.0.7"], ["127.0.0.5", "127.0.0.8"]),
        ("127.9.9.9/8", ["127.0.0.1", "127.200.0.1"], []),
        ("::1, 192.168.0.0/16", [], ["127.0.0.1"]),
        ("", ["127.0.0.1", "127.0.0.2"], []),
    ],
)
def test_only_allowed_peers_are_answered(stack: Stack, allowed: str, welcome: list[str], unwelcome: list[str]) -> None:
    with ProxyProcess(stack, {"AllowedPeers": allowed}) as proxy:
        for source in welcome:
            assert may_enter(proxy, source)
        for source in unwelcome:
            assert not may_enter(proxy, source)
        told = [f"not among AllowedPeers [peer={source}:" for source in unwelcome]
        assert eventually(lambda: [text in proxy.log() for text in told], [True] * len(told)) == [True] * len(told)


def test_a_flood_of_refused_peers_is_counted_and_does_not_flood_the_log(stack: Stack) -> None:
    flood = 500
    with ProxyProcess(stack, {"AllowedPeers": "127.0.0.1"}) as proxy, proxy.client() as client:
        for number in range(flood):
            with socket.create_connection((proxy.host, proxy.port), timeout=10, source_address=("127.0.0.2", 0)) as peer:
                assert peer.recv(1) == b""
            if number % 50 == 0:
                assert client.login("alice").result_code == 0
        assert proxy.stop() == 0
        told = REFUSED.findall(proxy.log())
    assert len(told) < 5 * REPEAT_LIMIT
    assert sum(int(more) if more else 1 for more in told) == flood


@pytest.fixture
def accounts(stack: Stack) -> Iterator[None]:
    """Users of the private Redis: one that may do everything, and one that may not do anything with keys."""
    with stack.redis() as redis:
        redis.execute_command("ACL", "SETUSER", "proxy", "on", ">let-me-in", "~*", "+@all")
        redis.execute_command("ACL", "SETUSER", "guest", "on", ">let-me-in", "+ping", "+select")
        yield
        redis.execute_command("ACL", "DELUSER", "proxy", "guest")


def clients_of(stack: Stack) -> set[str]:
    """As whom the connections to Redis are logged in."""
    with stack.redis() as redis:
        return {str(client["user"]) for client in redis.client_list() if client["db"] in ("4", 4)}


@pytest.mark.usefixtures("accounts")
def test_each_redis_instance_has_a_user_and_password_of_its_own(stack: Stack) -> None:
    with ProxyProcess(stack, {"token_username": "proxy", "token_password": "let-me-in"}) as proxy, proxy.client() as client:
        assert clients_of(stack) == {"proxy"}
        assert client.set_device_token(1, "abcdef").user_id == 1
        assert client.send_message(1, 2).msg_id == 1
    with stack.redis("token") as redis:
        assert redis.get("device_1") == "android:abcdef"


@pytest.mark.usefixtures("accounts")
def test_what_redis_does_not_allow_is_reported_and_fails_alone(stack: Stack) -> None:
    with ProxyProcess(stack, {"token_username": "guest", "token_password": "let-me-in"}) as proxy, proxy.client() as client:
        client.send(login_pb2.IMDeviceTokenReq(user_id=1, device_token="abcdef"))  # there is no honest reply to one that failed
        assert client.send_message(1, 2).msg_id == 1
        assert client.login("alice").result_code == 0
        assert eventually(lambda: "no permissions" in proxy.log(), True)
        assert "Redis instance token at 127.0.0.1" in proxy.log()


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    "wrong",
    [
        {"token_username": "proxy", "token_password": "wrong-word"},
        {"token_username": "nobody", "token_password": "wrong-word"},
        {"token_password": "wrong-word"},
    ],
)
def test_a_wrong_password_ends_the_start_with_instance_and_keys(stack: Stack, wrong: Mapping[str, str]) -> None:
    proxy = ProxyProcess(stack, wrong)
    with pytest.raises(StartupError, match=r"Redis instance token at 127\.0\.0\.1:\d+ db 4: .*token_username, token_password"):
        proxy.start()
    assert proxy.returncode == 3
    assert "wrong-word" not in proxy.log()


def test_a_server_with_a_password_accepts_only_clients_that_know_it(stack: Stack) -> None:
    with PrivateRedis(password="pässword-秘") as server:
        instance = {"group_set_port": server.port, "group_set_password": "pässword-秘"}
        with ProxyProcess(stack, instance) as proxy, proxy.client() as client:
            assert client.push_shield(1).user_id == 1
        proxy = ProxyProcess(stack, {"group_set_port": server.port})
        with pytest.raises(StartupError, match=r"Redis instance group_set .*group_set_password"):
            proxy.start()
        assert proxy.returncode == 3


def test_a_mysql_password_may_have_any_characters(stack: Stack) -> None:
    password = "pässword-秘"
    stack.rows("create user 'strange'@'127.0.0.1' identified by %s", (password,))
    stack.rows("grant all on teamtalk.* to 'strange'@'127.0.0.1'")
    try:
        keys = {"teamtalk_slave_username": "strange", "teamtalk_slave_password": password}
        with ProxyProcess(stack, keys) as proxy, proxy.client() as client:
            assert client.login("alice").result_code == 0
        proxy = ProxyProcess(stack, {**keys, "teamtalk_slave_password": "wrong-秘"})
        with pytest.raises(StartupError, match=r"MySQL instance teamtalk_slave .*Access denied.*teamtalk_slave_password"):
            proxy.start()
        assert "秘" not in proxy.log()
    finally:
        stack.rows("drop user 'strange'@'127.0.0.1'")
