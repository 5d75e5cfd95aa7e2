"""Which of the commands that the proxy uses a Redis server takes from the account.

They are put into a transaction that is dropped: the server checks account, keys, memory, disk and role when it queues a command, and
executes none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from dbproxy.doctor.finding import Level, Subject, listed
from dbproxy.doctor.kinds import Kind
from dbproxy.models import names
from dbproxy.stores.redis import CacheCommand
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.facts import fields, setting

PROBE_EXPIRY = 10
"""Seconds after which Redis removes the key that is written as a trial, if nothing else does."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the proxy does with a pool. Every command stands here with each form of key that it is used with."""

    reads: tuple[CacheCommand, ...]
    writes: tuple[CacheCommand, ...]
    transactions: bool
    """Whether MULTI and EXEC are used."""
    probe: str
    """Beginning of the key that is written as a trial: one that an ACL for this pool should allow."""
    staged: tuple[CacheCommand, ...] = ()
    """What is used only if MySQL is a cluster with several writers (``models/staged_members.py``)."""

    @property
    def commands(self) -> tuple[CacheCommand, ...]:
        """All of them."""
        return (*self.reads, *self.writes, *self.staged)


_STRING_KEYS = (names.msg_id_key(0), names.group_msg_id_key(0))
_MEMBERS, _STAGED, _STAGED_HASH = names.group_member_key(0), names.staged_members_key(0), names.staged_members_key(0, "0")
_GROUP, _COPY, _UNREAD, _COUNT = names.group_count_key(0), names.user_group_count_key(0, 0), names.unread_key(0), names.COUNT_FIELD

USAGE: Mapping[str, Usage] = {
    "unread": Usage(
        reads=(
            ("GET", names.LAST_UPDATE_GROUP_KEY),
            ("GET", names.GROUP_SYNC_OWNER_KEY),
            ("GET", names.TOTAL_USER_UPDATE_KEY),
            ("HSCAN", _UNREAD, 0, "COUNT", 100),
            ("HVALS", _UNREAD),
            ("HGET", _GROUP, _COUNT),
            ("HGET", _COPY, _COUNT),
            ("HMGET", _GROUP, _COUNT, names.READ_BY_ALL_FIELD),
        ),
        writes=(
            *((verb, key, 1) for key in _STRING_KEYS for verb in ("SET", "INCRBY")),
            ("SET", names.LAST_UPDATE_GROUP_KEY, 1),
            ("SET", names.GROUP_SYNC_OWNER_KEY, 1),
            ("SET", names.TOTAL_USER_UPDATE_KEY, 1),
            *(("DEL", key) for key in (*_STRING_KEYS, _GROUP, _COPY, _UNREAD)),
            ("HINCRBY", _UNREAD, "0", 1),
            ("HDEL", _UNREAD, "0"),
            ("HINCRBY", _GROUP, _COUNT, 1),
            ("HMSET", _GROUP, _COUNT, 1),
            ("HSET", _COPY, _COUNT, 1),
        ),
        transactions=True,
        probe="unread_dbproxy_doctor_",
    ),
    "group_set": Usage(
        reads=(("HMGET", names.group_set_key(0), names.shield_field(0)),),
        writes=(("HSET", names.group_set_key(0), names.shield_field(0), 1), ("DEL", names.group_set_key(0))),
        transactions=False,
        probe="group_set_dbproxy_doctor_",
    ),
    "token": Usage(
        reads=(("GET", names.device_key(b"0")), ("MGET", names.device_key(b"0")), ("STRLEN", names.device_key(b"0"))),
        writes=(("SET", names.device_key(b"0"), 1),),
        transactions=False,
        probe="device_dbproxy_doctor_",
    ),
    "group_member": Usage(
        reads=(
            ("HGET", _MEMBERS, "0"),
            ("HGETALL", _MEMBERS),
            ("HKEYS", _MEMBERS),
            ("TYPE", _MEMBERS),
        ),
        writes=(("HSET", _MEMBERS, "0", 1), ("DEL", _MEMBERS)),
        transactions=True,
        probe="group_member_dbproxy_doctor_",
        staged=(
            ("SMEMBERS", _STAGED),
            ("SADD", _STAGED, "0"),
            ("SREM", _STAGED, "0"),
            ("HSET", _STAGED_HASH, "0", 1),
            ("EXPIRE", _STAGED, 60),
            ("EXPIRE", _STAGED_HASH, 60),
            ("RENAME", _STAGED_HASH, _MEMBERS),
            ("PERSIST", _MEMBERS),
            ("DEL", _STAGED),
            ("DEL", _STAGED_HASH),
        ),
    ),
}
"""By the name of the pool. Other pools, such as ``sync`` of stock configurations, are opened and not used."""


class Server:
    """A connection to one Redis under examination. Raises redis.RedisError or OSError when it is lost."""

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        self.address = f"{connection.host}:{connection.port}"

    def ask(self, *command: str | int | bytes) -> Any:  # noqa: ANN401 - whatever Redis replies
        """Return the reply to a command, a ResponseError if it is refused."""
        return self.ask_all([command])[0]

    def ask_all(self, commands: Sequence[CacheCommand]) -> list[Any]:
        """Return the replies to commands, ResponseErrors among them for those that are refused."""
        return self._connection.exchange(commands)[0]

    def info(self) -> dict[str, str]:
        """Return all that INFO says; empty when the account may not ask."""
        return fields(self.ask("INFO"))

    def setting(self, name: str) -> str | None:
        """Return a setting; None when the account may not ask."""
        return setting(self.ask("CONFIG", "GET", name))


def check_commands(server: Server, subject: Subject, usage: Usage) -> bool:
    """Check every command of a pool without executing one; returns whether all of those that write are accepted."""
    refused = _refused_transactions(server)
    if "MULTI" in refused:
        if usage.transactions:
            subject.error(
                Kind.COMMANDS,
                f"MULTI is refused: {refused['MULTI']}. Members of groups and lost counters cannot be written",
                _remedy(["MULTI", "EXEC"]),
            )
        subject.info(
            Kind.COMMANDS,
            "MULTI is refused, so the other commands cannot be tried without changing something",
            "allow the account +multi, +exec and +discard while this command runs, to have them examined",
        )
        return True
    commands = usage.commands
    server.ask("MULTI")
    replies = server.ask_all(commands)
    if isinstance(server.ask("DISCARD"), redis.ResponseError):
        # The commands are still queued. One that Redis has refused ends a transaction without executing the others, so refuse one.
        server.ask("GET")
        server.ask("EXEC")
    problems = {command: str(reply) for command, reply in zip(commands, replies, strict=True) if isinstance(reply, redis.ResponseError)}
    if any(command in problems and _is_full(problems[command]) for command in usage.writes):
        # In a transaction a server that is full refuses reads too, which it does not otherwise.
        problems = {command: why for command, why in problems.items() if command not in usage.reads or not _is_full(why)}
    if not usage.transactions:
        refused = {}
    if not problems and not refused:
        tried = sorted({str(command[0]) for command in commands})
        subject.ok(Kind.COMMANDS, f"the account may use {', '.join(tried)} on the keys of this pool")
        return True
    _report(subject, problems, refused, only_staged=not refused and all(command in usage.staged for command in problems))
    return not any(command in problems for command in usage.writes)


def _refused_transactions(server: Server) -> dict[str, str]:
    """Try MULTI and EXEC with nothing in between."""
    opened = server.ask("MULTI")
    if isinstance(opened, redis.ResponseError):
        return {"MULTI": str(opened)}
    executed = server.ask("EXEC")
    if not isinstance(executed, redis.ResponseError):
        return {}
    server.ask("DISCARD")
    return {"EXEC": str(executed)}


def _report(subject: Subject, problems: Mapping[CacheCommand, str], refused: Mapping[str, str], *, only_staged: bool) -> None:
    """Add a finding; a warning if all of that is needed only if MySQL is a cluster with several writers."""
    verbs = list(dict.fromkeys([*(str(command[0]) for command in problems), *refused]))
    keys = list(
        dict.fromkeys(_shown(command[1]) for command, why in problems.items() if "key" in why.lower() and "run the" not in why.lower())
    )
    text = next(iter((*problems.values(), *refused.values())))
    subject.add(
        Level.WARNING if only_staged else Level.ERROR,
        Kind.COMMANDS,
        f"refused: {', '.join(verbs)}{' on keys such as ' + listed(keys) if keys else ''} ({subject.foreign(text)})"
        + (": needed to change members of groups if MySQL is a cluster with several writers" if only_staged else ""),
        _remedy(verbs) if "NOPERM" in text or "no permissions" in text else _cause(text),
    )


def _shown(key: str | int | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _remedy(verbs: Sequence[str]) -> str:
    return f"ACL SETUSER of the account: {' '.join('+' + verb.lower() for verb in verbs)} and the keys (~pattern) that are named above"


def _is_full(text: str) -> bool:
    return "OOM" in text or "used memory" in text  # redis-py leaves the first word out of errors that it knows


def _cause(text: str) -> str:
    if text.startswith(("READONLY", "-READONLY")) or "read only replica" in text:
        return "point the pool at the master of this replica"
    if _is_full(text):
        return "raise maxmemory of the server, or find out what fills it"
    if "MISCONF" in text or "snapshot" in text:
        return "the server cannot save to its disk: look into its log; space and permissions of its directory"
    if "NOREPLICAS" in text or "Not enough good" in text:
        return "min-replicas-to-write asks for replicas that are not connected: bring them back, or lower it"
    return "the server does not know the command or has it renamed: undo rename-command, or upgrade it"


def check_writing(server: Server, subject: Subject, usage: Usage) -> None:
    """Write a key of our own with a short expiry, read it, and delete it."""
    key = usage.probe + os.urandom(8).hex()
    written = server.ask("SET", key, "1", "EX", PROBE_EXPIRY)
    if isinstance(written, redis.ResponseError):
        subject.error(
            Kind.WRITABLE, f"a key of our own ({usage.probe}...) cannot be written: {subject.foreign(written)}", _cause(str(written))
        )
        return
    deleted = server.ask("DEL", key)
    left = f"; it could not be deleted and expires within {PROBE_EXPIRY} s" if isinstance(deleted, redis.ResponseError) else ""
    subject.ok(Kind.WRITABLE, f"a key of our own was written and deleted{left}" if not left else f"a key of our own was written{left}")
