"""Which keys a reload applies, and which need a restart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbproxy.config import Config, parse_config
from dbproxy.config_changes import changes_between
from dbproxy.config_keys import (
    CACHE_INSTANCE_KEYS,
    CACHE_INSTANCES,
    DB_INSTANCE_KEYS,
    DB_INSTANCES,
    OPTIONAL_KEYS,
    REQUIRED_KEYS,
    TLS_KEYS,
    Key,
)

STOCK = (Path(__file__).parents[2] / "conf" / "dbproxyserver.conf").read_text(encoding="utf-8")

RESTART = {"ListenIP", "ListenPort", "AdminListen", "AdminSocket", "aesKey", "DBInstances", "CacheInstances"}

VALUES = {
    "ListenIP": "127.0.0.2",
    "MsfsSite": "127.0.0.1:8701",
    "aesKey": "x" * 32,
    "AllowedPeers": "10.0.0.0/8",
    "LogFile": "proxy.log",
    "LogLevel": "debug",
    "DBLockTimeout": "7",
    "_host": "127.0.0.2",
    "_dbname": "other",
    "_username": "other",
    "_password": "other",
    "_ssl": "on",
    "_cluster": "on",
    "AdminListen": "127.0.0.1:10680",
    "AdminSocket": "other.sock",
    "_ssl_verify": "off",
    "_sentinels": "s1,s2:7000",
    "_service": "other",
    "_sentinel_username": "other",
    "_sentinel_password": "other",
}
"""What a key is changed to; whole numbers and seconds are changed by one."""


def parse(**changes: str | None) -> Config:
    """The stock file with these changes; None: without the key."""
    text = STOCK
    for name, value in changes.items():
        text = re.sub(rf"(?m)^{name}=.*\n", "", text) + ("" if value is None else f"{name}={value}\n")
    return parse_config(text)


def other_value(key: Key, name: str, config: object) -> str:
    for known in (name, key.name):
        if known in VALUES:
            return VALUES[known]
    return f"{getattr(config, key.field) + 1:g}" if getattr(config, key.field) < 1000 else str(getattr(config, key.field) + 1)


@pytest.mark.parametrize("key", REQUIRED_KEYS + OPTIONAL_KEYS, ids=lambda key: key.name)
def test_every_key_is_applied_or_named_as_one_that_needs_a_restart(key: Key) -> None:
    running = parse()
    wanted = parse(**{key.name: other_value(key, key.name, running)})
    changes = changes_between(running, wanted)
    assert key.restart == (key.name in RESTART)
    assert (changes.applied, changes.restart) == (((), (key.name,)) if key.restart else ((key.name,), ()))
    assert changes.config == (running if key.restart else wanted)
    assert changes_between(changes.config, wanted).restart == changes.restart  # named again by the next reload


@pytest.mark.parametrize("key", [*DB_INSTANCE_KEYS, *TLS_KEYS], ids=lambda key: key.name)
def test_every_key_of_a_database_is_applied(key: Key, tmp_path: Path) -> None:
    _is_applied("teamtalk_slave", key, tmp_path)


@pytest.mark.parametrize("key", [*CACHE_INSTANCE_KEYS, *TLS_KEYS], ids=lambda key: key.name)
def test_every_key_of_a_cache_is_applied(key: Key, tmp_path: Path) -> None:
    _is_applied("token", key, tmp_path)


def _is_applied(instance: str, key: Key, tmp_path: Path) -> None:
    pem = tmp_path / "some.pem"
    pem.write_text("")
    before: dict[str, str | None] = {}
    if key in TLS_KEYS and key.name != "_ssl":
        before = {f"{instance}_ssl": "on", f"{instance}_ssl_cert": str(pem)}
    elif key.name.startswith("_se"):
        before = {f"{instance}_{end}": value for end, value in (("host", None), ("port", None), ("sentinels", "s1"), ("service", "one"))}
    elif key.name == "_cluster":
        before = {f"{instance}_db": "0"}
    running = parse(**before)
    instances = {**running.db_instances, **running.cache_instances}
    if key.name in ("_ssl_ca", "_ssl_cert", "_ssl_key"):
        other = tmp_path / "other.pem"
        other.write_text("")
        value = str(other)
    else:
        value = other_value(key, key.name, instances[instance])
    wanted = parse(**{**before, instance + key.name: value})
    changes = changes_between(running, wanted)
    assert changes.restart == ()
    assert instance + key.name in changes.applied
    assert all(name.startswith(f"{instance}_") for name in changes.applied)
    assert changes.config == wanted


def test_instances_that_come_or_go_need_a_restart_and_the_running_ones_stay() -> None:
    running = parse()
    new = {f"extra{end}": value for end, value in (("_host", "h"), ("_port", "1"), ("_db", "1"), ("_maxconncnt", "1"))}
    wanted = parse(CacheInstances="unread,group_set,token,group_member,extra", **new)
    changes = changes_between(running, wanted)
    assert (changes.applied, changes.restart) == ((), (CACHE_INSTANCES.name,))
    assert dict(changes.config.cache_instances) == dict(running.cache_instances)
    order = parse(DBInstances="teamtalk_slave,teamtalk_master")
    assert changes_between(running, order).restart == ()
    assert DB_INSTANCES.restart


def test_nothing_differs_between_equal_files() -> None:
    changes = changes_between(parse(), parse())
    assert (changes.applied, changes.restart) == ((), ())
    assert changes.config == parse()
