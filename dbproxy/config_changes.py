"""What differs between two configurations: which keys a running proxy can apply, and which need a restart. Pure; any thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from dbproxy.config import CacheInstance, Config, DBInstance
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

Instance = TypeVar("Instance", DBInstance, CacheInstance)

_LISTS = (DB_INSTANCES, CACHE_INSTANCES)


@dataclass(frozen=True, slots=True)
class ConfigChanges:
    """``applied`` and ``restart``: names of the keys that differ, in the order of the tables of keys; those that a running proxy can apply,
    and those that need a restart. ``config``: the configuration of a proxy that has applied the former.
    """

    applied: tuple[str, ...]
    restart: tuple[str, ...]
    config: Config


def changes_between(running: Config, wanted: Config) -> ConfigChanges:
    """Compare the configuration of a running proxy with the one that it should have."""
    differing = [(key.name, key) for key in REQUIRED_KEYS + OPTIONAL_KEYS if getattr(running, key.field) != getattr(wanted, key.field)]
    differing += [(key.name, key) for key in _LISTS if set(getattr(running, key.field)) != set(getattr(wanted, key.field))]
    differing += _of_instances(running.db_instances, wanted.db_instances, DB_INSTANCE_KEYS)
    differing += _of_instances(running.cache_instances, wanted.cache_instances, CACHE_INSTANCE_KEYS)
    kept = {key.field: getattr(running, key.field) for key in REQUIRED_KEYS + OPTIONAL_KEYS if key.restart}
    config = dataclasses.replace(
        wanted,
        **kept,
        db_instances=_merged(running.db_instances, wanted.db_instances),
        cache_instances=_merged(running.cache_instances, wanted.cache_instances),
    )
    return ConfigChanges(
        applied=tuple(name for name, key in differing if not key.restart),
        restart=tuple(name for name, key in differing if key.restart),
        config=config,
    )


def _of_instances(running: Mapping[str, Instance], wanted: Mapping[str, Instance], keys: Sequence[Key]) -> Iterator[tuple[str, Key]]:
    """The keys that differ of those instances that are in both; which of them there are is the business of the lists."""
    for name, instance in running.items():
        if name not in wanted:
            continue
        other = wanted[name]
        for key in keys:
            if getattr(instance, key.field) != getattr(other, key.field):
                yield name + key.name, key
        for key in TLS_KEYS:
            if _tls_value(instance, key) != _tls_value(other, key):
                yield name + key.name, key


def _tls_value(instance: DBInstance | CacheInstance, key: Key) -> Any:  # noqa: ANN401 - the value of any key
    if key.field == "on":
        return instance.tls is not None
    return None if instance.tls is None else getattr(instance.tls, key.field)


def _merged(running: Mapping[str, Instance], wanted: Mapping[str, Instance]) -> Mapping[str, Instance]:
    return MappingProxyType({name: wanted.get(name, instance) for name, instance in running.items()})
