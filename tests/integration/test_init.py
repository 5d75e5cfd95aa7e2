"""From a wheel to a running proxy: an environment of its own, dbproxy-init on private servers, the daemon, and what it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from built_wheel import build_wheel

from dbproxy.testing import Client, Stack
from dbproxy.testing.process import ChildProcess
from dbproxy.testing.servers import SCHEMA

pytestmark = pytest.mark.watchdog(300)

PASSWORD = "a#b ${c} 密码"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the commands of an environment that has the wheel, and the other packages of the environment of the tests."""
    directory = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(tmp_path_factory.mktemp("build"))
    venv.create(directory, with_pip=False, symlinks=True)
    (site,) = directory.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("site-packages")), encoding="utf-8")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(directory),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--force-reinstall",
    ]
    subprocess.run([*install, "--ignore-installed", str(wheel)], check=True)
    where = [str(directory / "bin" / "python"), "-I", "-c", "import dbproxy; print(dbproxy.__file__)"]
    found = subprocess.run(where, env={**os.environ, "PYTHONPATH": ""}, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).parents[1] == site  # and not the checkout
    return directory / "bin"


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    """A MariaDB on which the database ``fresh`` does not exist, and a Redis with a password."""
    with Stack(redis_password="redis") as stack:
        for statement in ("create user 'proxy'@'127.0.0.1' identified by %s", "grant all on fresh.* to 'proxy'@'127.0.0.1'"):
            with stack.mysql() as connection, connection.cursor() as cursor:
                cursor.execute(statement, (PASSWORD,) if "%s" in statement else None)
        yield stack


@pytest.fixture
def variables(servers: Stack) -> Iterator[dict[str, str]]:
    mysql, redis = servers.mariadb.address, servers.redis_server.address
    yield {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "DBPROXY_MYSQL_HOST": mysql[0],
        "DBPROXY_MYSQL_PORT": str(mysql[1]),
        "DBPROXY_MYSQL_DATABASE": "fresh",
        "DBPROXY_MYSQL_USER": "proxy",
        "DBPROXY_MYSQL_PASSWORD": PASSWORD,
        "DBPROXY_REDIS_HOST": redis[0],
        "DBPROXY_REDIS_PORT": str(redis[1]),
        "DBPROXY_REDIS_PASSWORD": "redis",
    }
    servers.rows("drop database if exists fresh")


class Daemon(ChildProcess):
    """The installed command in the directory that dbproxy-init has written."""

    def __init__(self, commands: Path, directory: Path, variables: Mapping[str, str]) -> None:
        super().__init__("db_proxy_server", directory / "log")
        self._command = [str(commands / "db_proxy_server"), "--set", "ListenPort=0"]
        self._directory = directory
        self._variables = variables

    def start(self) -> int:
        """Start it and return its port."""
        self._spawn(self._command, self._directory, {**self._variables, "PYTHONPATH": ""})
        self._await_ready(lambda: "is ready" in self.log() and (self._directory / "server.pid").exists(), 60)
        (line,) = (line for line in self.log().splitlines() if "listening on" in line)
        return int(line.rpartition(":")[2])


def init(commands: Path, directory: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(commands / "dbproxy-init"), str(directory), *arguments]
    return subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def tables(servers: Stack) -> int:
    (row,) = servers.rows("select count(*) as tables from information_schema.tables where table_schema = 'fresh'")
    return int(str(row["tables"]))


def test_an_installed_proxy_serves_from_the_directory_that_init_has_written(
    commands: Path, servers: Stack, variables: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "proxy"
    done = init(commands, directory, variables, "--database", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith(": 27 tables were made")
    assert PASSWORD not in done.stdout
    daemon = Daemon(commands, directory, variables)
    port = daemon.start()
    try:
        assert str(daemon.pid) == (directory / "server.pid").read_text(encoding="ascii").strip()
        with Client("127.0.0.1", port) as client:
            assert client.login("nobody").result_code != 0
            assert client.send_message(1, 2, "hello").msg_id == 1
            assert [message.msg_data for message in client.messages(2, 1).msg_list] == [b"hello"]
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    finally:
        if daemon.running:
            daemon.kill()
    assert servers.rows("select content from fresh.IMMessage_1") == [{"content": "hello"}]


def test_the_other_commands_of_the_package_run(commands: Path, variables: dict[str, str], tmp_path: Path) -> None:
    init(commands, tmp_path, variables, "--database", "--yes")
    audit = [str(commands / "dbproxy-audit"), "--config", str(tmp_path / "dbproxyserver.conf")]
    done = subprocess.run(audit, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "clean", "")
    check = [str(commands / "db_proxy_server"), "--config", str(tmp_path / "dbproxyserver.conf"), "--check-config"]
    assert subprocess.run(check, env=variables, capture_output=True, text=True, timeout=60, check=False).returncode == 0


def test_without_consent_no_database_is_made(commands: Path, servers: Stack, variables: dict[str, str], tmp_path: Path) -> None:
    done = init(commands, tmp_path, variables, "--database")
    assert done.returncode == 3
    assert done.stderr.endswith(": nothing was changed (without a terminal, --yes agrees)\n")
    assert servers.rows("select schema_name from information_schema.schemata where schema_name = 'fresh'") == []


def test_a_database_without_tables_is_filled_and_a_full_one_left_alone(
    commands: Path, servers: Stack, variables: dict[str, str], tmp_path: Path
) -> None:
    servers.rows("create database fresh")
    assert init(commands, tmp_path, variables, "--database", "--yes").returncode == 0
    servers.rows("insert into fresh.IMDepart (departName, parentId, created, updated) values ('x', 0, 1, 1)")
    again = init(commands, tmp_path, variables, "--database", "--yes")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].endswith(" has the tables already; nothing was changed")
    assert tables(servers) == 27
    assert len(servers.rows("select id from fresh.IMDepart")) == 1


def test_a_database_with_other_tables_is_refused(commands: Path, servers: Stack, variables: dict[str, str], tmp_path: Path) -> None:
    servers.rows("create database fresh")
    servers.rows("create table fresh.IMUser (id int)")
    done = init(commands, tmp_path, variables, "--database", "--yes")
    assert done.returncode == 3
    assert "database fresh at " in done.stderr
    assert " is not empty: it has 1 tables, and 26 of TeamTalk's 27 are missing (" in done.stderr
    assert tables(servers) == 1


def test_a_server_that_refuses_is_named_without_the_password(
    commands: Path, servers: Stack, variables: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**variables, "DBPROXY_MYSQL_PASSWORD": "not-the-password"}
    done = init(commands, tmp_path / "wrong", wrong, "--database", "--yes")
    assert done.returncode == 3
    assert f"MySQL instance teamtalk_master at 127.0.0.1:{servers.mariadb.port}" in done.stderr
    assert "teamtalk_master_password" in done.stderr
    assert "not-the-password" not in done.stderr + done.stdout
    elsewhere = {**variables, "DBPROXY_MYSQL_DATABASE": "forbidden"}
    done = init(commands, tmp_path / "forbidden", elsewhere, "--database", "--yes")
    assert done.returncode == 3
    assert "database forbidden at " in done.stderr
    assert "denied" in done.stderr


def test_the_written_schema_is_the_one_of_the_package(commands: Path, variables: dict[str, str], tmp_path: Path) -> None:
    init(commands, tmp_path, variables)
    assert (tmp_path / "schema.sql").read_bytes() == SCHEMA.read_bytes()
