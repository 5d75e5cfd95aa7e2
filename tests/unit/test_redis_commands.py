"""Commands for Redis are the same bytes with and without hiredis."""

from __future__ import annotations

import pytest

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
