"""A database whose disk is full: what is refused is refused, nothing is acknowledged that is not stored, and the server survives us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.testing import InProcessProxy, PrivateMariaDB, ProxyProcess, Stack, seed
from dbproxy.testing.waiting import eventually
from devtools.traffic import Traffic

KEYS: dict[str, object] = {"DBLockTimeout": 1, "CacheTimeout": 2, "CacheConnectTimeout": 1, "StopGrace": 1}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A directory on a file system of its own that can be filled."""
    with tempfile.TemporaryDirectory(prefix="dbproxy-disk-") as directory:
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "none", directory]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small file system")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)


def test_messages_are_refused_while_the_disk_is_full(small_disk: Path) -> None:
    """While the disk of MySQL is full, what needs a new page is refused (error 1114), what does not is stored."""
    with (
        Stack(small_disk / "stack", mysql_options=("--skip-log-bin",)) as stack,
        InProcessProxy(stack, KEYS) as proxy,
        proxy.client(timeout=30) as client,
    ):
        seed.group(stack, 9, [1, 2, 3])
        conversations = [(1, 2, False), (3, 4, False), (2, 9, True)]
        filler = small_disk / "filler"
        with Traffic(lambda _: proxy.client(), conversations) as traffic, filler.open("wb", buffering=0) as file:
            replies = [client.send_message(5, 6, "x" * 4000).msg_id]
            traffic.wait_for(30)
            with contextlib.suppress(OSError):
                while file.write(bytes(1 << 16)):
                    pass
            while 0 not in replies:
                replies.append(client.send_message(5, 6, "x" * 4000).msg_id)
                assert len(replies) < 4000
            given = [msg_id for msg_id in replies if msg_id]
            (relation,) = stack.rows("select id from IMRelationShip where smallId=5")
            rows = stack.rows(f"select msgId from IMMessage_{int(str(relation['id'])) % 8} where fromId=5 order by id")
            assert [row["msgId"] for row in rows] == given
            filler.unlink()
            file.close()
            assert client.send_message(5, 6, "x" * 4000).msg_id > len(given)
            traffic.wait_for(30)
        assert traffic.verify(stack) == []


@pytest.mark.watchdog(240)
def test_a_commit_that_waits_for_space_is_not_killed(small_disk: Path, tmp_path: Path) -> None:
    """MySQL with a binary log: commits wait until there is space, which is looked for once a minute; who kills one of them then may take
    the server down. Meanwhile messages are refused, or their outcome is unknown; afterwards everything works.
    """
    if not PrivateMariaDB().is_mysql:
        pytest.skip("MariaDB's binary log is off unless somebody switches it on")
    keys = {**KEYS, "DBTimeout": 2, "RequestTimeout": 3}
    options = (f"--tmpdir={tmp_path}",)  # as on most machines: there is space for temporary tables
    with (
        Stack(small_disk / "stack", mysql_options=options) as stack,
        ProxyProcess(stack, keys) as proxy,
        proxy.client(timeout=30) as client,
    ):
        given: list[int] = []

        def store() -> bool:
            msg_id = client.send_message(1, 2, "x" * 4000).msg_id
            given.extend(filter(None, [msg_id]))
            return msg_id > 0

        assert store()
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 12)):
                pass
        while store():
            assert len(given) < 1000
        for user_id in range(3, 6):
            assert client.send_message(user_id, 2).msg_id == 0
        assert client.messages(1, 2).msg_list[0].msg_id == given[-1]
        assert stack.mariadb.running
        filler.unlink()
        assert eventually(store, True, timeout=90)
        assert stack.mariadb.running
        stored = [row["msgId"] for row in stack.rows("select msgId from IMMessage_1 where fromId=1 order by id")]
    assert len(set(stored)) == len(stored)
    assert set(given) <= set(stored)
    assert "could not be found out" in proxy.log()
