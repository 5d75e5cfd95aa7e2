"""Redis behind Sentinels: planned failovers refuse and lose nothing, crashes lose nothing that was acknowledged, a replica is no master."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from reloading import ReloadingProxy

from dbproxy.config import load_config
from dbproxy.errors import StartupError, StoreUnavailableError
from dbproxy.stores.redis import CacheManager
from dbproxy.stores.redis.commands import not_executed
from dbproxy.testing import Client, InProcessProxy, ProxyProcess, SentinelStack, seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.pb import base_define_pb2, login_pb2
from devtools.traffic import Traffic

CONVERSATIONS = [(1, 2, False), (2, 1, False), (3, 4, False), (1, 9, True), (2, 9, True), (3, 9, True)]

KEYS = {"ThreadNum": 16, "StopGrace": 1}

pytestmark = pytest.mark.watchdog(120)


@pytest.fixture
def stack(dbproxy_sentinels: SentinelStack) -> Iterator[SentinelStack]:
    """Empty stores with a group of three; everything works and agrees before a test."""
    dbproxy_sentinels.reset()
    seed.users(dbproxy_sentinels, "alice", "bob", "carol", "dave")
    seed.group(dbproxy_sentinels, 9, [1, 2, 3])
    yield dbproxy_sentinels
    for server in (*dbproxy_sentinels.redis_servers, *dbproxy_sentinels.sentinels):
        if server.running:
            server.thaw()


@pytest.fixture
def proxies(stack: SentinelStack) -> Iterator[list[ProxyProcess]]:
    """Two proxies on the same servers."""
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(stack, KEYS)) for _ in range(2)]


def traffic_on(proxies: list[ProxyProcess]) -> Traffic:
    return Traffic(lambda number: proxies[number % len(proxies)].client(timeout=20), CONVERSATIONS)


def fixed(stack: SentinelStack) -> dict[str, object]:
    """Keys of a configuration that knows nothing of Sentinels."""
    keys: dict[str, object] = {}
    for name in POOLS:
        keys |= {f"{name}_sentinels": None, f"{name}_service": None, f"{name}_host": "127.0.0.1", f"{name}_port": stack.master().port}
    return keys


def uncounted(stack: SentinelStack) -> list[str]:
    """What is stored and was not counted, when nobody has read anything: a sentence for each counter that is not right."""
    wrong = []
    with stack.redis() as redis:
        for sender, receiver in ((1, 2), (2, 1), (3, 4)):
            rows = stack.rows(
                "select count(*) as n from IMMessage_0 where fromId=%s union all select count(*) from IMMessage_1 where fromId=%s"
                " union all select count(*) from IMMessage_2 where fromId=%s",
                (sender,) * 3,
            )
            stored, counted = sum(int(str(row["n"])) for row in rows), int(str(redis.hget(f"unread_{receiver}", str(sender))))
            wrong += [f"{sender} to {receiver}: {stored} stored, {counted} counted"] if stored != counted else []
        stored = int(str(stack.rows("select count(*) as n from IMGroupMessage_1")[0]["n"]))
        counted = int(str(redis.hget("9_im_group_msg", "count")))
        wrong += [f"group 9: {stored} stored, {counted} counted"] if stored != counted else []
    return wrong


def assert_failovers_lose_nothing(stack: SentinelStack, proxies: list[ProxyProcess], count: int) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(count):
            traffic.wait_for(60)
            stack.fail_over(settle=False)
            traffic.wait_for(60)
            stack.settle()
            traffic.wait_for(60)
    assert (traffic.refused, traffic.unanswered) == (0, 0)
    assert traffic.verify(stack) == []
    assert uncounted(stack) == []
    assert [line for proxy in proxies for line in proxy.log().splitlines() if " ERROR " in line] == []


def test_a_planned_failover_under_load_refuses_and_loses_nothing(stack: SentinelStack, proxies: list[ProxyProcess]) -> None:
    assert_failovers_lose_nothing(stack, proxies, 1)
    assert all("found by Sentinels" in proxy.log() for proxy in proxies)


@pytest.mark.long
@pytest.mark.watchdog(400)
def test_ten_planned_failovers_in_a_row_refuse_and_lose_nothing(stack: SentinelStack, proxies: list[ProxyProcess]) -> None:
    assert_failovers_lose_nothing(stack, proxies, 10)


@pytest.mark.long
@pytest.mark.watchdog(400)
def test_planned_failovers_of_sentinels_with_stock_periods_refuse_and_lose_nothing() -> None:
    with SentinelStack(quick=False) as stack, ExitStack() as exits:
        seed.group(stack, 9, [1, 2, 3])
        assert_failovers_lose_nothing(stack, [exits.enter_context(ProxyProcess(stack, KEYS)) for _ in range(2)], 3)


def assert_crash_is_survived(stack: SentinelStack, proxies: list[ProxyProcess], traffic: Traffic) -> None:
    before = traffic.refused
    traffic.wait_for(60)
    stack.kill_master()
    traffic.wait_for(60, timeout=30)
    assert traffic.refused - before <= len(CONVERSATIONS)  # those that were at work in Redis
    stack.reset_servers()
    traffic.wait_for(60)


def test_a_crash_of_the_master_under_load(stack: SentinelStack, proxies: list[ProxyProcess]) -> None:
    one, other = (proxy.client() for proxy in proxies)
    with one, other:
        one.request(login_pb2.IMDeviceTokenReq(user_id=1, device_token="token-of-alice", client_type=base_define_pb2.CLIENT_TYPE_IOS))
        assert one.remove_members(1, 9, [3]).result_code == 0
        assert other.add_members(1, 9, [4]).result_code == 0
        with Traffic(lambda number: proxies[number % 2].client(timeout=20), [*CONVERSATIONS[:5], (4, 9, True)]) as traffic:
            assert_crash_is_survived(stack, proxies, traffic)
        assert traffic.verify(stack) == []
        for client in (one, other):
            assert [list(info.group_member_list) for info in client.group_info({9: 0}).group_info_list] == [[1, 2, 4]]
            assert client.device_tokens([1]).user_token_info[0].token == "token-of-alice"
            client.read_ack(1, 9, GROUP)
        assert eventually(lambda: [unread_in_group(client) for client in (one, other)], [0, 0]) == [0, 0]
        assert other.send_group_message(4, 9).msg_id
        assert [unread_in_group(client) for client in (one, other)] == [1, 1]


def unread_in_group(client: Client) -> int:
    return sum(entry.unread_cnt for entry in client.unread(1).unreadinfo_list if entry.session_id == 9)


@pytest.mark.long
@pytest.mark.watchdog(400)
def test_ten_crashes_in_a_row(stack: SentinelStack, proxies: list[ProxyProcess]) -> None:
    with traffic_on(proxies) as traffic:
        for _ in range(10):
            assert_crash_is_survived(stack, proxies, traffic)
    assert traffic.verify(stack) == []


def test_a_former_master_is_not_started_on_although_a_sentinel_names_it(stack: SentinelStack) -> None:
    """One Sentinel was down during a failover and knows only the former master, which is a replica now; the others are silent."""
    outdated, *others = stack.sentinels
    outdated.kill()
    master = stack.fail_over()
    for sentinel in others:
        sentinel.freeze()
    outdated.start()
    proxy = ProxyProcess(stack, {**KEYS, "CachePoolTimeout": 1})
    starting = threading.Thread(target=proxy.start)
    starting.start()
    try:
        assert "is a replica" in poll(lambda: proxy.log() if proxy.log_path.exists() else "", lambda log: "is a replica" in log, 20)
        assert "is ready" not in proxy.log()
        for sentinel in others:
            sentinel.thaw()
        starting.join(40)
        with proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
        with master.connect(POOLS["unread"]) as redis:
            assert redis.hget("unread_2", "1") == "1"
    finally:
        starting.join(40)
        proxy.stop()


@pytest.mark.long
def test_a_former_master_that_is_back_as_a_master_is_not_returned_to(stack: SentinelStack) -> None:
    """A Sentinel that missed the failover names it, and it says itself that it is a master; the others are silent."""
    outdated, *others = stack.sentinels
    outdated.kill()
    former = stack.master()
    new = stack.fail_over()
    caches = CacheManager(load_config(stack.write_config(overrides={"CachePoolTimeout": 1})))
    try:
        caches.open()
        for sentinel in others:
            sentinel.freeze()
        outdated.start()
        with former.connect() as redis:
            redis.execute_command("REPLICAOF", "NO", "ONE")
        with new.connect() as redis:
            redis.client_kill_filter(_type="normal")
        with pytest.raises(StoreUnavailableError, match="does not know of the last failover"):
            caches.unread.execute([("SET", "key", 1)])
        with former.connect(POOLS["unread"]) as redis:
            assert redis.info("replication")["role"] == "master"
            assert redis.get("key") is None
        for sentinel in others:
            sentinel.thaw()
        assert poll(lambda: _written(caches), bool, 20)
        with new.connect(POOLS["unread"]) as redis:
            assert redis.get("key") == "2"
    finally:
        caches.close()


def _written(caches: CacheManager) -> bool:
    try:
        return bool(caches.unread.execute([("SET", "key", 2)]))
    except StoreUnavailableError:
        return False


def test_a_master_that_works_is_used_although_a_sentinel_calls_it_down(stack: SentinelStack) -> None:
    """The only Sentinel that is left is refused its PING, as if it was cut off from the master; it cannot begin a failover alone."""
    alone, *others = stack.sentinels
    for sentinel in others:
        sentinel.kill()
    caches = CacheManager(load_config(stack.write_config()))
    with stack.master().connect() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "-ping")
        try:
            assert poll(lambda: str(alone.state().get("flags")), lambda flags: "s_down" in flags, 20)
            assert caches.unread.execute([("INCRBY", "counter", 5)]) == [5]
        finally:
            redis.execute_command("ACL", "SETUSER", "default", "+ping")
            caches.close()


def test_without_any_sentinel_a_proxy_goes_on_and_with_one_of_them_it_starts(stack: SentinelStack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        for sentinel in stack.sentinels:
            sentinel.kill()
        for msg_id in range(2, 20):
            assert client.send_message(1, 2).msg_id == msg_id
        stack.sentinels[2].start()
        with ProxyProcess(stack, KEYS) as second, second.client() as other:
            assert other.send_message(1, 2).msg_id == 20
        assert "ERROR" not in proxy.log()


def test_a_reload_from_a_fixed_address_to_sentinels_and_back(stack: SentinelStack) -> None:
    with ReloadingProxy(stack, fixed(stack)) as proxy, proxy.client() as client:
        assert client.send_group_message(1, 9).msg_id == 1
        said = proxy.reload(dict.fromkeys(fixed(stack)) | {key: value for key, value in stack.config().items() if "_se" in key})
        assert said.startswith("configuration reloaded: unread_sentinels, unread_service, unread_host, unread_port")
        assert client.send_group_message(1, 9).msg_id == 2
        assert "was started again" not in proxy.log()  # it is the same server
        stack.fail_over()
        assert client.send_group_message(1, 9).msg_id == 3
        assert "was started again" in proxy.log()
        assert proxy.reload(fixed(stack)).startswith("configuration reloaded: ")
        assert client.send_group_message(1, 9).msg_id == 4
        assert "ERROR" not in proxy.log()


def test_a_wrong_service_name_ends_the_start_and_names_the_key(stack: SentinelStack) -> None:
    with pytest.raises(StartupError, match=r"does not watch a service nobody.*unread_service"):
        InProcessProxy(stack, {"unread_service": "nobody"}).start()


def test_what_a_replica_refuses_was_not_executed(stack: SentinelStack) -> None:
    """The replies of a real replica to a pipeline with a transaction."""
    commands = [("INCRBY", "n", 1), ("GET", "n"), ("MULTI",), ("DEL", "h"), ("HSET", "h", "a", 1), ("EXEC",), ("TYPE", "h")]
    with stack.replicas()[0].connect() as redis:
        pipe = redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies = pipe.execute(raise_on_error=False)
    assert not_executed(commands, replies) == [0, 2, 3, 4, 5]


def test_commands_that_a_former_master_refuses_are_sent_to_the_new_one(stack: SentinelStack) -> None:
    """Without the thread that watches the Sentinels, as in a tool: the connections stay open while their server becomes a replica."""
    caches = CacheManager(load_config(stack.write_config()))
    caches.open()
    try:
        former = stack.master()
        assert caches.unread.execute([("INCRBY", "counter", 5)]) == [5]
        new = stack.fail_over(settle=False)
        with former.connect() as redis:
            redis.execute_command("REPLICAOF", "127.0.0.1", new.port)
        before = caches.unread.restarts
        block = [("MULTI",), ("DEL", "hash"), ("HSET", "hash", "a", 1), ("EXEC",)]
        replies = caches.unread.execute([("GET", "counter"), ("INCRBY", "counter", 1), *block])
        assert (replies[0], replies[1], replies[-1]) == (b"5", 6, [0, 1])
        assert caches.unread.restarts == before + 1
        assert caches.unread.report().server == f"127.0.0.1:{new.port}"
        with new.connect(POOLS["unread"]) as redis:
            assert (redis.get("counter"), redis.hgetall("hash")) == ("6", {"a": "1"})
    finally:
        caches.close()


def test_the_password_of_the_sentinels(stack: SentinelStack) -> None:
    with ExitStack() as exits:
        for sentinel in stack.sentinels:
            redis = exits.enter_context(sentinel.connect())
            redis.execute_command("ACL", "SETUSER", "default", "resetpass", ">of-sentinels")
            exits.callback(redis.execute_command, "ACL", "SETUSER", "default", "nopass")
        keys = {f"{name}_sentinel_password": "of-sentinels" for name in POOLS}
        with InProcessProxy(stack, keys) as proxy, proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
        for wrong in (None, "zqx-secret"):
            with pytest.raises(StartupError, match=r"the Sentinel 127\.0\.0\.1.*unread_sentinel_password") as caught:
                InProcessProxy(stack, {**keys, "unread_sentinel_password": wrong}).start()
            assert "zqx" not in str(caught.value)


@pytest.mark.long
def test_failovers_with_passwords_everywhere() -> None:
    with (
        SentinelStack(replicas=1, sentinels=2, sentinel_password="of-sentinels", redis_password="of-redis") as stack,
        ProxyProcess(stack, KEYS) as proxy,
        proxy.client() as client,
    ):
        for msg_id in range(1, 4):
            assert client.send_message(1, 2).msg_id == msg_id
            stack.fail_over()
