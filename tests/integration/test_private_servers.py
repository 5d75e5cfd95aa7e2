"""The private servers of dbproxy.testing: real programs, on ports and in directories of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from dbproxy.errors import StartupError
from dbproxy.testing import PrivateMariaDB, PrivateRedis, Stack
from dbproxy.testing.private_server import find_program
from dbproxy.testing.process import can_connect
from dbproxy.testing.waiting import eventually


def test_redis_forgets_unless_it_is_persistent(tmp_path: Path) -> None:
    for persistent, expected in ((False, None), (True, "1")):
        with PrivateRedis(tmp_path / str(persistent), persistent=persistent, password="secret") as server:
            address = server.address
            with server.connect() as client:
                client.set("a", 1)
            server.kill()
            assert not server.running
            assert server.returncode == -signal.SIGKILL
            server.start()
            assert server.address == address
            with server.connect() as client:
                assert client.get("a") == expected
        with PrivateRedis(tmp_path / str(persistent), persistent=persistent, password="secret") as server:
            assert server.address == address
            with server.connect() as client:
                assert client.get("a") == expected


def test_a_frozen_server_says_nothing_and_goes_on_when_thawed() -> None:
    with PrivateRedis() as server, server.connect() as client:
        client.set("a", 1)
        server.freeze()
        assert can_connect(*server.address)  # the kernel still accepts
        with server.connect(timeout=0.2) as client_with_timeout, pytest.raises(redis.exceptions.RedisError):
            client_with_timeout.ping()
        server.thaw()
        assert client.get("a") == "1"


def test_mariadb_keeps_its_directory_and_its_durability(tmp_path: Path) -> None:
    with PrivateMariaDB(tmp_path / "db") as server:
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@innodb_flush_log_at_trx_commit AS flush")
            assert list(cursor.fetchall()) == [{"flush": 1}]
            cursor.execute("INSERT INTO IMAudio (fromId, toId, created) VALUES (1, 2, 3)")
        server.kill()
        server.start()
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT fromId FROM IMAudio")
            assert list(cursor.fetchall()) == [{"fromId": 1}]
        with pytest.raises(StartupError, match="another process runs a private mariadb"):
            PrivateMariaDB(tmp_path / "db").start()
    with PrivateMariaDB(tmp_path / "db") as server, contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT fromId FROM IMAudio")
        assert list(cursor.fetchall()) == [{"fromId": 1}]


def test_a_temporary_directory_is_removed() -> None:
    with PrivateRedis() as server:
        directory = server.directory
        assert directory.is_dir()
    assert not directory.exists()
    server.close()


def test_a_schema_that_does_not_load_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.sql").write_text("CREATE TABLE a (id int);\nCREATE TABEL b (id int);\n")
    server = PrivateMariaDB(schema=tmp_path / "bad.sql")
    with pytest.raises(StartupError, match=r"bad\.sql cannot be loaded.*TABEL"):
        server.start()
    server.close()


def test_a_missing_program_is_reported_with_its_package() -> None:
    with pytest.raises(StartupError, match=r"no-such-server is not installed.*apt-get install some-package"):
        find_program(("no-such-server",), "some-package")


def listening_addresses(pid: int) -> set[str]:
    """The addresses, in hexadecimal, at which a process accepts TCP connections."""
    descriptors = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {fields[1].partition(":")[0] for fields in sockets if fields[3] == "0A" and f"socket:[{fields[9]}]" in descriptors}


def test_servers_listen_on_the_loopback_address_only(stack: Stack) -> None:
    assert listening_addresses(stack.mariadb.pid) == listening_addresses(stack.redis_server.pid) == {"0100007F"}


def test_a_test_run_uses_the_servers_that_it_is_told_to_use(tmp_path: Path) -> None:
    """Also in processes that it starts."""
    chosen = tmp_path / "chosen-redis"
    chosen.write_text(f'#!/bin/sh\necho chosen >> "{tmp_path}/started"\nexec {find_program(("redis-server",), "redis-server")} "$@"\n')
    chosen.chmod(0o755)
    child = "from dbproxy.testing import PrivateRedis; PrivateRedis().start().close()"
    (tmp_path / "test_it.py").write_text(
        "import subprocess, sys\nfrom dbproxy.testing import PrivateRedis\n\n"
        f"def test_it():\n    with PrivateRedis():\n        subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), "--redis-server"]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([*command, str(chosen)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "started").read_text() == "chosen\n" * 2
    done = subprocess.run([*command, "no-such-server"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "no-such-server is not a program that can be run" in done.stderr


def test_a_server_that_does_not_start_shows_its_log() -> None:
    server = PrivateRedis(options=("--no-such-option", "1"))
    with pytest.raises(StartupError, match="no-such-option"):
        server.start()
    server.close()


def test_servers_die_and_directories_go_when_the_run_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, threading, time\n"
        "from dbproxy.testing import PrivateRedis\n"
        "servers = [PrivateRedis(), PrivateRedis()]\n"
        "threads = [threading.Thread(target=server.start) for server in servers]\n"  # started from threads that have ended since
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "servers[1].freeze()\n"
        "print(*(f'{server.pid} {server.directory}' for server in servers), sep='\\n', flush=True)\n"
        "time.sleep(60)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as run:
        assert run.stdout is not None
        lines = [run.stdout.readline().decode().split() for _ in range(2)]
        run.kill()
    assert eventually(lambda: any(Path(directory).exists() for _, directory in lines), False, timeout=10) is False
    for pid, _ in lines:
        command_line = Path(f"/proc/{pid}/cmdline")
        assert not command_line.exists() or b"redis" not in command_line.read_bytes()
