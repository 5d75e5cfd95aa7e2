"""The tools on a Redis behind Sentinels, TLS to both, and an upgrade and a hanging master."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from control import ctl
from examined import examined

from dbproxy.audit import audit, open_stores
from dbproxy.bench.site import CACHE, Site
from dbproxy.config import load_config
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis import check_caches
from dbproxy.errors import StartupError
from dbproxy.testing import InProcessProxy, PrivateRedis, ProxyProcess, SentinelStack, seed
from dbproxy.testing.process import free_port
from dbproxy.testing.sentinel import PrivateSentinel
from dbproxy.testing.waiting import poll
from dbproxy.wire.pb import base_define_pb2, login_pb2
from devtools.traffic import Traffic

pytestmark = pytest.mark.watchdog(120)

SUBJECT = "Sentinels of teamtalk"


@pytest.fixture
def stack(dbproxy_sentinels: SentinelStack) -> Iterator[SentinelStack]:
    """Empty stores with four users and a group; everything works and agrees before a test."""
    dbproxy_sentinels.reset()
    seed.users(dbproxy_sentinels, "alice", "bob", "carol", "dave")
    seed.group(dbproxy_sentinels, 9, [1, 2, 3])
    yield dbproxy_sentinels
    for server in dbproxy_sentinels.redis_servers:
        if server.running:
            server.thaw()


def test_the_doctor_examines_sentinels_and_master(stack: SentinelStack) -> None:
    found = examined(check_caches, stack)
    assert [problem for problem in found.problems if problem[2] not in ("persistence",)] == []
    master = f"127.0.0.1:{stack.master().port}"
    said = [finding.what for finding in found.of(Kind.SENTINELS, SUBJECT)]
    assert said[0] == f"3 of them name {master} as the master (unread, group_set, sync, token, group_member)"
    assert said[1] == "there are 3 Sentinels, and a failover needs 2 of them (quorum 2)"
    assert said[2] == "2 replicas follow the master"
    assert found.of(Kind.CONNECTIONS, f"Redis server {master}")


def test_the_doctor_says_what_stands_in_the_way_of_a_failover(stack: SentinelStack) -> None:
    dead, *others = stack.replicas()
    dead.kill()
    for sentinel in stack.sentinels[:2]:
        sentinel.kill()
    poll(lambda: _text(stack), lambda text: "1 of 2 replicas" in text, 10)
    text = _text(stack)
    assert text.count("Connection refused") == 2
    assert "1 of 3 Sentinels answer, and a failover needs 2 (quorum 2)" in text
    assert f"1 of 2 replicas follow the master, 127.0.0.1:{dead.port} not" in text
    assert others


def _text(stack: SentinelStack) -> str:
    return "\n".join(finding.what for finding in examined(check_caches, stack).findings if finding.subject == SUBJECT)


def test_the_doctor_names_a_wrong_service_and_a_wrong_password(stack: SentinelStack) -> None:
    found = examined(check_caches, stack, {"unread_service": "nobody"}).of(Kind.SENTINELS, "Redis unread")
    assert "unread_service" in (found[0].remedy or "")
    with stack.sentinels[0].connect() as redis:
        redis.execute_command("ACL", "SETUSER", "default", "resetpass", ">secret")
        try:
            refused = examined(check_caches, stack, {"unread_sentinel_password": "zqx"}).of(Kind.LOGIN)
        finally:
            redis.execute_command("ACL", "SETUSER", "default", "nopass")
    assert refused
    assert all("sentinel_password" in (finding.remedy or "") and "zqx" not in finding.what for finding in refused)


@pytest.mark.long
def test_audit_benchmark_and_control_work_with_the_master_of_the_moment(stack: SentinelStack) -> None:
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        former = stack.master()
        new = stack.fail_over()
        assert client.send_group_message(1, 9).msg_id == 1
        pools = json.loads(ctl(proxy.directory, "pools", "--json").out)["pools"]
        servers = {(pool["name"], pool["server"]) for pool in pools if pool["kind"] == "redis" and pool["calls"]}
        assert ("unread", f"127.0.0.1:{new.port}") in servers
        assert next(pool["failovers"] for pool in pools if pool["name"] == "unread") == 1
        with open_stores(load_config(proxy.config_path), 0.01) as backends:
            assert audit(backends).counts == {}
        with Site(proxy.config_path) as site:
            assert site.processes()[CACHE] == [new.pid]
        assert former.pid != new.pid


@pytest.mark.long
def test_after_a_failover_members_are_taken_from_mysql_once_more_after_a_while(stack: SentinelStack) -> None:
    """Until then a proxy that learnt of the failover later may have written to the former master."""
    with InProcessProxy(stack) as proxy, proxy.client() as client:
        assert client.send_group_message(1, 9).msg_id == 1
        stack.fail_over(settle=False)
        assert client.send_group_message(1, 9).msg_id == 2
        with stack.redis("group_member") as redis:
            redis.hset("group_member_9", "4", "1")  # what never was in MySQL
        assert poll(
            lambda: list(client.group_info({9: 0}).group_info_list[0].group_member_list), lambda members: members == [1, 2, 3], 15
        ) == [1, 2, 3]


@pytest.mark.long
def test_an_upgrade_follows_the_master_and_loses_nothing(stack: SentinelStack) -> None:
    with (
        ProxyProcess(stack, {"StopGrace": 1}) as proxy,
        Traffic(lambda _: proxy.client(timeout=20), [(1, 2, False), (1, 9, True)]) as traffic,
    ):
        traffic.wait_for(30)
        stack.fail_over(settle=False)
        proxy.upgrade()
        traffic.wait_for(30)
        stack.settle()
        stack.fail_over()
        traffic.wait_for(30)
        traffic.stop()
        assert (traffic.refused, traffic.unanswered) == (0, 0)
    assert traffic.verify(stack) == []


@pytest.mark.long
def test_a_master_that_hangs_is_left_for_another_one(stack: SentinelStack) -> None:
    keys = {"CacheTimeout": 2, "CacheConnectTimeout": 2, "ThreadNum": 16}
    writers = [(1, 2, False), (3, 4, False), (1, 9, True)]
    with ProxyProcess(stack, keys) as proxy, Traffic(lambda _: proxy.client(timeout=20), writers) as traffic:
        traffic.wait_for(30)
        former = stack.master()
        former.freeze()
        traffic.wait_for(30, timeout=30)
        assert poll(stack.master, lambda server: server is not former, 20) is not former
        former.thaw()
        stack.settle()
        traffic.wait_for(30)
    assert traffic.refused <= len(writers)  # those that were at work in Redis
    assert traffic.verify(stack) == []


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("trusted", tmp_path_factory.mktemp("trusted"))


def test_tls_is_for_sentinels_and_redis(stack: SentinelStack, trusted: Authority, tmp_path: Path) -> None:
    pair = trusted.issue("server")
    names = {"tls-ca-cert-file": trusted.certificate, "tls-cert-file": pair.cert, "tls-key-file": pair.key, "tls-auth-clients": "no"}
    redis_port, sentinel_port = free_port(), free_port()
    options = [part for name, value in {"tls-port": redis_port, **names}.items() for part in (f"--{name}", str(value))]
    lines = [f"sentinel monitor teamtalk 127.0.0.1 {redis_port} 1", f"tls-port {sentinel_port}", "tls-replication yes"]
    lines += [f'{name} "{value}"' for name, value in names.items()]
    with PrivateRedis(options=options), PrivateSentinel(tmp_path / "sentinel", lines=lines, keep=False) as sentinel:
        keys: dict[str, object] = {"token_sentinels": f"127.0.0.1:{sentinel_port}", "token_ssl_ca": trusted.certificate}
        with InProcessProxy(stack, keys) as proxy, proxy.client() as client:
            ios = base_define_pb2.CLIENT_TYPE_IOS
            client.request(login_pb2.IMDeviceTokenReq(user_id=1, device_token="token-of-alice", client_type=ios))
            assert client.device_tokens([1]).user_token_info[0].token == "token-of-alice"
        other = Authority("other", tmp_path)
        with pytest.raises(StartupError, match=r"certificate verify failed.*token_ssl_ca"):
            InProcessProxy(stack, {**keys, "token_ssl_ca": other.certificate}).start()
        keys |= {"token_sentinels": f"127.0.0.1:{sentinel.port}", "CachePoolTimeout": 0.5, "StartTimeout": 0}  # the port without TLS
        with pytest.raises(StartupError, match=r"token_sentinels"):
            InProcessProxy(stack, keys).start()
