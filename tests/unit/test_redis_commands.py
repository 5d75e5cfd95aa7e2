"""Commands for Redis are the same bytes with and without hiredis."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from dbproxy.stores.redis import CacheCommand, commands

COMMANDS: list[CacheCommand] = [
    ("PING",),
    ("INCRBY", "msg_id_1", 3),
    ("HINCRBY", "unread_2", 4294967295, -1),
    ("SET", b"device_\xff\x00\r\n", b""),
    ("SET", "key", "你好"),
]

BYTES = (
    b"*1\r\n$4\r\nPING\r\n"
    b"*3\r\n$6\r\nINCRBY\r\n$8\r\nmsg_id_1\r\n$1\r\n3\r\n"
    b"*4\r\n$7\r\nHINCRBY\r\n$8\r\nunread_2\r\n$10\r\n4294967295\r\n$2\r\n-1\r\n"
    b"*3\r\n$3\r\nSET\r\n$11\r\ndevice_\xff\x00\r\n\r\n$0\r\n\r\n"
    b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$6\r\n\xe4\xbd\xa0\xe5\xa5\xbd\r\n"
)


@pytest.mark.parametrize("plainly", [False, True], ids=["as installed", "without hiredis"])
def test_a_pipeline_is_these_bytes(plainly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plainly:
        monkeypatch.setattr(commands, "_pack_command", commands._pack_plainly)
    assert commands.pack(COMMANDS) == BYTES


READ_ONLY = redis.ReadOnlyError("You can't write against a read only replica.")
ABORTED = redis.exceptions.ExecAbortError("Transaction discarded because of previous errors.")


@pytest.mark.parametrize(
    ("verbs", "replies", "places"),
    [
        ("SET GET", [b"OK", None], []),
        ("SET GET INCRBY", [READ_ONLY, b"1", READ_ONLY], [0, 2]),
        ("GET SET", [redis.ResponseError("WRONGTYPE Operation"), READ_ONLY], [1]),
        ("SET", [redis.ResponseError("NOREPLICAS Not enough good replicas to write.")], [0]),
        ("GET", [redis.exceptions.MasterDownError("Link with MASTER is down")], [0]),
        ("MULTI DEL EXEC GET", [b"OK", READ_ONLY, ABORTED, b"1"], [0, 1, 2]),
        ("SET MULTI DEL EXEC", [READ_ONLY, b"OK", b"QUEUED", [1]], [0]),
        ("MULTI DEL EXEC", [b"OK", b"QUEUED", redis.exceptions.ExecAbortError("Transaction discarded because of: READONLY")], [0, 1, 2]),
        ("MULTI DEL EXEC", [b"OK", redis.ResponseError("OOM command not allowed"), ABORTED], []),
        ("MULTI DEL EXEC", [b"OK", b"QUEUED", [READ_ONLY]], []),
    ],
)
def test_what_may_be_sent_again_is_what_was_certainly_not_executed(verbs: str, replies: list[Any], places: list[int]) -> None:
    assert commands.not_executed([(verb,) for verb in verbs.split()], replies) == places
