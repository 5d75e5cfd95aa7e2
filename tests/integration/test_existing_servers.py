"""Stacks on servers that somebody else runs: what they refuse, what they leave behind, and who gets which database."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dbproxy
from dbproxy.config import load_config
from dbproxy.errors import StartupError
from dbproxy.testing import PrivateMariaDB, PrivateRedis, ProxyProcess, Stack, seed
from dbproxy.testing.existing import ConfiguredStack, ExistingStack, chosen_stack
from dbproxy.testing.existing_mysql import ExistingMySQL
from dbproxy.testing.existing_redis import ExistingRedis
from dbproxy.testing.existing_servers import ExistingServer, NotOursError, ServerUrl
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.private_server import PrivateServer
from dbproxy.testing.process import free_port
from dbproxy.testing.servers import SCHEMA
from dbproxy.testing.waiting import eventually

ROOT = Path(dbproxy.__file__).parents[1]

KILLED_RUN = """
import os, signal, sys
from dbproxy.testing import seed
from dbproxy.testing.existing import ExistingStack
from dbproxy.testing.existing_redis import ExistingRedis
ExistingRedis.lease_seconds = 1
stack = ExistingStack(*sys.argv[1:]).start()
seed.users(stack, "alice")
with stack.redis() as client:
    client.set("msg_id_1", "5")
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A test run that is killed while it has rows and keys."""


@dataclass
class Servers:
    """Somebody's servers, and the URLs of databases on them."""

    mariadb: PrivateMariaDB
    redis: PrivateRedis

    @property
    def mysql_url(self) -> str:
        return f"mysql://somebody:p%40ss@127.0.0.1:{self.mariadb.port}/of_tests"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis.port}/7"

    def execute(self, *statements: str) -> list[dict[str, object]]:
        with contextlib.closing(self.mariadb.connect(None)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def databases(self) -> set[str]:
        return {str(row["Database"]) for row in self.execute("SHOW DATABASES")}


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with PrivateMariaDB() as mariadb, PrivateRedis() as redis:
        servers = Servers(mariadb, redis)
        servers.execute("CREATE USER somebody@'127.0.0.1' IDENTIFIED BY 'p@ss'", "GRANT ALL ON `of\\_tests%`.* TO somebody@'127.0.0.1'")
        yield servers


@pytest.fixture
def servers(running: Servers) -> Iterator[Servers]:
    yield running
    for name in running.databases():
        if name.startswith("of_tests"):
            running.execute(f"DROP DATABASE {name}")
    with running.redis.connect() as client:
        client.flushall()


def test_a_proxy_is_tested_on_them_and_they_are_as_empty_afterwards(servers: Servers) -> None:
    with servers.redis.connect(6) as client:
        client.set("somebody's", "key")
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack, ProxyProcess(stack) as proxy, proxy.client() as client_of_proxy:
        seed.users(stack, "alice", "bob")
        assert client_of_proxy.send_message(1, 2, "hello").msg_id == 1
        tables, keys = stack.snapshot()
        assert [row["content"] for row in tables["IMMessage_1"].values()] == ["hello"]
        assert keys["msg_id_1"] == "1"
        assert "dbproxy.testing" not in keys
        stack.reset()
        assert stack.rows("SELECT * FROM IMUser") == []
        with servers.redis.connect(7) as redis:
            assert redis.keys("msg*") == []
    assert "of_tests" not in servers.databases()
    with servers.redis.connect(7) as redis, servers.redis.connect(6) as other:
        assert redis.keys() == []
        assert other.keys() == ["somebody's"]


def test_a_database_without_tables_stays_without_tables(servers: Servers) -> None:
    servers.execute("CREATE DATABASE of_tests")
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack:
        assert {"IMUser", "IMGroupMessage_7"} <= set(stack.tables())
    assert servers.execute("SHOW TABLES FROM of_tests") == []


def test_empty_tables_of_somebody_are_used_and_kept(servers: Servers) -> None:
    servers.execute("CREATE DATABASE of_tests", "USE of_tests", "CREATE TABLE IMUser (id INT PRIMARY KEY AUTO_INCREMENT)")
    with ExistingStack(servers.mysql_url, None) as stack:
        stack.rows("INSERT INTO IMUser VALUES (5)")
    assert servers.execute("SELECT * FROM of_tests.IMUser") == []
    assert "COMMENT" not in str(servers.execute("SHOW CREATE TABLE of_tests.IMUser"))


@pytest.mark.parametrize("statement", ["INSERT INTO IMUser VALUES (1)", "DROP TABLE IMUser"])
def test_a_database_with_rows_or_other_tables_is_refused_and_untouched(servers: Servers, statement: str) -> None:
    tables = "CREATE TABLE IMUser (id INT PRIMARY KEY)", "CREATE TABLE orders (id INT PRIMARY KEY)"
    servers.execute("CREATE DATABASE of_tests", "USE of_tests", *tables, statement)
    before = servers.execute("SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'of_tests'")
    with pytest.raises(StartupError, match=r"of_tests at 127\.0\.0\.1:.* is not empty, and a test run would empty it: "):
        ExistingStack(servers.mysql_url, servers.redis_url).start()
    assert servers.execute("SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'of_tests'") == before


def test_a_redis_database_with_keys_is_refused_and_untouched(servers: Servers) -> None:
    with servers.redis.connect(7) as client:
        client.set("orders", "5")
        client.set("last_update_group", "5")
        with pytest.raises(StartupError, match=r"database 7 of Redis at 127\.0\.0\.1:.* is not empty"):
            ExistingStack(servers.mysql_url, servers.redis_url).start()
        assert sorted(client.keys()) == ["last_update_group", "orders"]
    assert "of_tests" not in servers.databases()


def killed_run(servers: Servers) -> None:
    command = [sys.executable, "-c", KILLED_RUN, servers.mysql_url, servers.redis_url]
    done = subprocess.run(command, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    with servers.redis.connect(7) as client:
        assert eventually(lambda: client.exists("dbproxy.testing.run"), 0, 10) == 0


def table_names(servers: Servers) -> set[str]:
    rows = servers.execute("SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'of_tests'")
    return {str(row["name"]) for row in rows}


def test_what_a_killed_run_has_left_in_its_own_tables_is_used_again(servers: Servers) -> None:
    killed_run(servers)
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack:
        assert len(stack.rows("SELECT * FROM IMUser")) == 1
        stack.reset()
        assert stack.snapshot() == ({name: {} for name in stack.tables()}, {})
    assert table_names(servers) == set()
    with servers.redis.connect(7) as client:
        assert client.keys() == []


def test_rows_in_tables_of_somebody_are_refused_whatever_run_was_there_before(servers: Servers) -> None:
    servers.execute("CREATE DATABASE of_tests", "USE of_tests")
    with contextlib.closing(servers.mariadb.connect("of_tests")) as connection, connection.cursor() as cursor:
        for statement in SCHEMA.read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                cursor.execute(statement)
    killed_run(servers)
    servers.execute("TRUNCATE of_tests.IMUser", "INSERT INTO of_tests.IMDepart VALUES (7, 'sales', 1, 0, 0, 1, 1)")
    with pytest.raises(StartupError, match=r"there are rows \(IMDepart\)\. Name another database, or empty these tables yourself"):
        ExistingMySQL(servers.mysql_url).start()
    assert [row["id"] for row in servers.execute("SELECT id FROM of_tests.IMDepart")] == [7]


def test_tables_that_somebody_has_added_to_those_of_a_killed_run_are_refused_and_kept(servers: Servers) -> None:
    killed_run(servers)
    servers.execute("CREATE TABLE of_tests.orders (id INT PRIMARY KEY)")
    with pytest.raises(StartupError, match=r"interrupted test run, but others have been added \(orders\)"):
        ExistingMySQL(servers.mysql_url).start()
    assert {"orders", "IMUser"} <= table_names(servers)


def test_only_our_own_tables_are_dropped_at_the_end(servers: Servers) -> None:
    servers.execute("CREATE DATABASE of_tests")
    with ExistingStack(servers.mysql_url, None):
        servers.execute("CREATE TABLE of_tests.orders (id INT PRIMARY KEY)")
    assert table_names(servers) == {"orders"}


def test_two_runs_on_one_database_exclude_each_other(servers: Servers) -> None:
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack:
        with pytest.raises(StartupError, match=r"of_tests at 127\.0\.0\.1:.* is used by another test run"):
            ExistingMySQL(servers.mysql_url).start()
        for _ in range(2):
            with pytest.raises(StartupError, match=r"database 7 of Redis at .* is used by another test run .* free again in \d+ s"):
                ExistingRedis(servers.redis_url).start()
            stack.reset()
        with stack.redis() as client:  # as a program does that empties its stores
            client.flushdb()
        stack.reset()
        with pytest.raises(StartupError, match="used by another test run"):
            ExistingRedis(servers.redis_url).start()
    ExistingRedis(servers.redis_url).start().close()


def test_a_run_keeps_its_redis_database_longer_than_the_lease_and_notices_when_another_one_has_it(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExistingRedis, "lease_seconds", 0.4)
    first = ExistingRedis(servers.redis_url).start()
    with servers.redis.connect(7) as client:
        renewed = first.__dict__["_renewal"]
        assert eventually(lambda: client.exists("dbproxy.testing.run"), 0, 1.5) == 1
        first.__dict__["_closed"].set()  # as a process that stands still
        renewed.join()
        assert eventually(lambda: client.exists("dbproxy.testing.run"), 0) == 0
        client.delete("dbproxy.testing")
        second = ExistingRedis(servers.redis_url).start()
        client.set("msg_id_1", "5")
        with pytest.raises(StartupError, match="used by another test run"):
            first.flush()
        first.close()
        assert client.get("msg_id_1") == "5"
        second.close()
        assert client.keys() == []


def test_keys_that_an_interrupted_run_cannot_have_left_are_refused(servers: Servers) -> None:
    killed_run(servers)
    with servers.redis.connect(7) as client:
        assert 0 < client.ttl("dbproxy.testing") <= 86400
        client.delete("dbproxy.testing")  # a day later
        with pytest.raises(StartupError, match=r"is not empty .* redis-cli -h 127\.0\.0\.1 -p \d+ -n 7 FLUSHDB"):
            ExistingRedis(servers.redis_url).start()
        assert client.keys() == ["msg_id_1"]


@pytest.mark.parametrize("action", ["kill", "stop", "freeze", "terminate", "restart"])
def test_servers_that_are_not_ours_are_not_killed_and_it_is_said(servers: Servers, action: str) -> None:
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack:
        for server in (stack.mariadb, stack.redis_server):
            with pytest.raises(NotOursError, match=r"the server at 127\.0\.0\.1:\d+ is not ours: tests that kill, .* need private ones"):
                getattr(server, action)()
            with pytest.raises(NotOursError):
                _ = server.pid
        stack.reset()
    assert servers.mariadb.running
    assert servers.redis.running


@pytest.mark.parametrize("name", ["mariadb", "redis"])
def test_a_server_that_is_starting_is_waited_for(servers: Servers, name: str) -> None:
    there: PrivateServer = getattr(servers, name)
    with FaultyLink(("127.0.0.1", free_port())) as link:  # as a container: connections are accepted and closed
        starts = threading.Timer(1, link.lead_to, [there.address])
        starts.start()
        if name == "mariadb":
            with ExistingStack(servers.mysql_url.replace(f":{there.port}", f":{link.port}"), None) as stack:
                assert stack.rows("SELECT * FROM IMUser") == []
        else:
            with ExistingStack(None, f"redis://127.0.0.1:{link.port}/7") as stack, stack.redis() as client:
                assert client.keys("msg*") == []
        starts.join()


def test_each_worker_of_xdist_has_its_own_databases(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as exits:
        stacks = []
        for worker in ("gw0", "gw2"):
            monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
            stacks.append(exits.enter_context(ExistingStack(servers.mysql_url, servers.redis_url)))
        for number, stack in enumerate(stacks):
            seed.user(stack, 1, f"user{number}")
            with stack.redis() as client:
                client.set("msg_id_1", str(number))
        assert [stack.rows("SELECT name FROM IMUser") for stack in stacks] == [[{"name": "user0"}], [{"name": "user1"}]]
        assert {"of_tests_gw0", "of_tests_gw2"} <= servers.databases()
        with servers.redis.connect(7) as first, servers.redis.connect(9) as second:
            assert (first.get("msg_id_1"), second.get("msg_id_1")) == ("0", "1")
    assert not {"of_tests_gw0", "of_tests_gw2"} & servers.databases()


def test_the_environment_chooses(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(chosen_stack()) is Stack
    monkeypatch.setenv("DBPROXY_TEST_MYSQL", servers.mysql_url)
    with chosen_stack() as stack:
        assert stack.mariadb.address == ("127.0.0.1", servers.mariadb.port)
        with stack.redis() as client:  # private, because no URL was given
            assert client.connection_pool.connection_kwargs["port"] != servers.redis.port


def test_the_servers_of_a_running_proxy_are_found_in_its_configuration(servers: Servers, tmp_path: Path) -> None:
    with ExistingStack(servers.mysql_url, servers.redis_url) as stack:
        path = stack.write_config(
            tmp_path / "dbproxyserver.conf", {f"{pool}_db": number for number, pool in enumerate(["unread", "token"], 3)}
        )
    servers.execute("CREATE DATABASE of_tests")
    with ConfiguredStack(load_config(path)) as stack:
        seed.redis_key(stack, "msg_id_1", "5")
        seed.redis_key(stack, "device_1", "ios:x")
        assert stack.snapshot()[1] == {"msg_id_1": "5", "device_1": "ios:x"}
        with servers.redis.connect(3) as unread, servers.redis.connect(4) as token:
            assert (unread.get("msg_id_1"), token.get("device_1")) == ("5", "ios:x")
        stack.reset()
        assert stack.snapshot()[1] == {}


@pytest.mark.parametrize(
    ("scheme", "url"),
    [
        ("mysql", "mysql:///database"),
        ("mysql", "postgres://u:p@host/database"),
        ("mysql", "mysql://u:p@host:port/database"),
        ("mysql", "mysql://u:p@host/a/b"),
        ("redis", "rediss://host/1"),
        ("redis", "host:6379/1"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(scheme: str, url: str) -> None:
    with pytest.raises(StartupError, match=f"the URL of the {scheme} server for tests is not {scheme}://") as caught:
        ServerUrl(scheme, url)
    assert "u:p@" not in str(caught.value).replace("user:password@", "")


def test_a_server_that_cannot_be_reached_is_named(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExistingServer, "start_timeout", 0)
    with pytest.raises(StartupError, match=r"the MySQL server at 127\.0\.0\.1:1 cannot be used for tests: "):
        ExistingStack("mysql://u:secret@127.0.0.1:1/x", None).start()
    with pytest.raises(StartupError, match=r"the database 0 of Redis at 127\.0\.0\.1:1 cannot be used for tests: "):
        ExistingStack(servers.mysql_url, "redis://127.0.0.1:1").start()
    with pytest.raises(StartupError, match="Access denied for user"):
        ExistingStack(f"mysql://somebody:wrong@127.0.0.1:{servers.mariadb.port}/x", None).start()
