"""dbproxy-admin: the phones that get push notifications are listed and forgotten."""

from __future__ import annotations

import json

import pytest
from administering import administration_of, recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.cli import main
from dbproxy.admin.devices import Device, Devices
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.audit import audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.cluster import ClusterStack
from dbproxy.wire.pb import base_define_pb2 as base

pytestmark = [pytest.mark.watchdog(60)]


@pytest.fixture
def devices(administration: Administration) -> Devices:
    return Devices(administration)


def all_of(devices: Devices, limit: int) -> list[Device]:
    found: list[Device] = []
    after: int | None = None
    while True:
        page = devices.find(after, limit)
        found += page.entries
        after = page.following
        if after is None:
            return found


@pytest.mark.data(users=["alice", "bob", "carol", "dave"])
def test_phones_are_listed_with_their_users(dbproxy_client: Client, stack: Stack, devices: Devices) -> None:
    dbproxy_client.set_device_token(1, "0123456789abcdef", base.CLIENT_TYPE_IOS)
    dbproxy_client.set_device_token(2, "fedcba9876543210", base.CLIENT_TYPE_ANDROID)
    seed.redis_key(stack, "device_3", "")
    seed.redis_key(stack, "device_4", "pc-token")
    seed.redis_key(stack, "device_77", "ios:ffff")
    seed.redis_key(stack, "device_99999999999999", "5")
    assert sorted(devices.find().entries, key=lambda device: device.user_id) == [
        Device(1, "alice", "ios", "01234567…"),
        Device(2, "bob", "android", "fedcba98…"),
        Device(4, "dave", "other", "pc-token"),
        Device(77, "", "ios", "ffff"),
    ]
    assert devices.of_user("bob") == Device(2, "bob", "android", "fedcba98…")
    assert devices.of_user(3) is None
    with pytest.raises(NotFoundError, match="'eve'"):
        devices.of_user("eve")
    with pytest.raises(RefusedError, match="1 to 500"):
        devices.find(limit=0)


def test_many_phones_are_found_page_by_page(stack: Stack, devices: Devices) -> None:
    with stack.redis("token") as redis:
        redis.mset({f"device_{number}": f"ios:token{number}" for number in range(1, 3001)})
        redis.mset({f"device_token{number}": str(number) for number in range(1, 3001)})
        redis.mset({f"something_{number}": "x" for number in range(5000)})
    for limit in (1, 50, 500):
        found = all_of(devices, limit)
        assert {device.user_id for device in found} == set(range(1, 3001))
    page = devices.find(limit=50)
    assert 50 <= len(page.entries) < 1000
    assert page.following is not None


@pytest.mark.data(users=["alice", "bob"])
def test_a_forgotten_phone_gets_no_pushes_until_it_logs_in_again(
    dbproxy_client: Client, stack: Stack, devices: Devices, administration: Administration
) -> None:
    dbproxy_client.set_device_token(1, "0123456789abcdef", base.CLIENT_TYPE_IOS)
    dbproxy_client.set_device_token(2, "fedcba9876543210", base.CLIENT_TYPE_ANDROID)
    before = stack.snapshot()
    assert devices.forget("alice", dry_run=True).client_type == "ios"
    assert stack.snapshot() == before
    assert devices.forget("alice").token == "01234567…"
    assert [token.user_id for token in dbproxy_client.device_tokens([1, 2]).user_token_info] == [2]
    with pytest.raises(NotFoundError, match="user alice has no phone"):
        devices.forget("alice")
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        assert [entry.finding.kind for entry in audit(backends).entries] == []
    dbproxy_client.set_device_token(1, "0123456789abcdef", base.CLIENT_TYPE_IOS)
    assert [token.user_id for token in dbproxy_client.device_tokens([1, 2]).user_token_info] == [1, 2]
    entries = recorded_by(administration)
    assert [(entry["action"], entry["target"], entry["outcome"][:8]) for entry in entries] == [
        ("devices.forget", "user alice", "ok"),
        ("devices.forget", "user alice", "NotFound"),
    ]
    assert "0123456789" not in administration.log.path.read_text()


@pytest.mark.watchdog(120)
def test_phones_on_all_nodes_of_a_cluster_are_found(dbproxy_cluster: ClusterStack) -> None:
    dbproxy_cluster.reset()
    seed.users(dbproxy_cluster, "alice")
    with administration_of(dbproxy_cluster) as administration:
        installation = administration.installation
        for number in range(1, 301):
            installation.devices.register(number, b"token%d" % number, 17)
        devices = Devices(administration)
        for limit in (10, 500):
            assert {device.user_id for device in all_of(devices, limit)} == set(range(1, 301))
        assert devices.forget("alice").client_type == "ios"
        assert {device.user_id for device in all_of(devices, 100)} == set(range(2, 301))


@pytest.mark.data(users=["alice", "小明"])
def test_the_commands(dbproxy_client: Client, stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    dbproxy_client.set_device_token(2, "0123456789abcdef", base.CLIENT_TYPE_IOS)
    config = str(stack.write_config(overrides={"AdminDataDir": stack.new_directory("admin")}))

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["--config", config, "devices", *arguments])
        return code, capsys.readouterr().out

    assert run("list") == (0, "user id  name  type  token\n      2  小明  ios   01234567…\n")
    assert run("list", "--user", "alice") == (0, "no phones\n")
    code, out = run("list", "--user", "小明", "--json")
    assert (code, json.loads(out)["entries"][0]["user_id"]) == (0, 2)
    assert run("forget", "2", "--dry-run")[1].startswith("the ios phone of user 2 (小明) would be forgotten\n")
    code, out = run("forget", "小明", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"dry_run": False, "device": {"user_id": 2, "name": "小明", "client_type": "ios", "token": "01234567…"}},
    )
    assert run("forget", "2")[0] == 1
