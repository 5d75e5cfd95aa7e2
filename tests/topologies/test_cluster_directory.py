"""Users of an installation with a Redis Cluster: phones of those who are disabled are forgotten, on whichever nodes their keys are."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.crc import key_slot

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.installation import Installation
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.config import load_config
from dbproxy.testing import ClusterStack, ProxyProcess, seed

pytestmark = pytest.mark.watchdog(180)


def test_disabled_users_get_no_pushes_whatever_the_slots_of_their_keys(dbproxy_cluster: ClusterStack, tmp_path: Path) -> None:
    dbproxy_cluster.reset()
    seed.department(dbproxy_cluster, 1, "A")
    config = load_config(dbproxy_cluster.write_config(overrides={"AdminDataDir": tmp_path / "admin"}))
    with Installation(config) as installation, ProxyProcess(dbproxy_cluster) as proxy, proxy.client() as client:
        users = Users(Administration(installation, Actor("os:test", "x"), AuditLog(installation.data_directory)))
        ids = [users.add(NewUser(f"user{number}"), "123456").user_id for number in range(12)]
        keys = [f"device_{user_id}" for user_id in ids]
        assert len({key_slot(key.encode()) * 3 // 16384 for key in keys}) == 3, "they are on all three masters"
        for user_id in ids:
            client.set_device_token(user_id, f"phone-{user_id}")
        assert [token.user_id for token in client.device_tokens(ids).user_token_info] == sorted(ids, key=str)
        for user_id in ids[1:]:
            users.disable(user_id)
        assert [token.user_id for token in client.device_tokens(ids).user_token_info] == ids[:1]
        assert [client.login(f"user{number}").result_code for number in (0, 1)] == [0, 1]
