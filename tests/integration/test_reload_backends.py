"""SIGHUP with other backends, accounts or certificates: pools move while requests come, or stay where they are."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority
from redis import Redis
from reloading import ReloadingProxy

from dbproxy.testing import Client, PrivateMariaDB, PrivateRedis, Stack, seed
from dbproxy.testing.client import ConnectionClosedError
from dbproxy.testing.process import free_port
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, login_pb2

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=["alice", "bob"])]

CACHES = ("unread", "group_set", "sync", "token", "group_member")


@pytest.fixture(scope="module")
def other_redis() -> Iterator[PrivateRedis]:
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def empty_redis(other_redis: PrivateRedis) -> PrivateRedis:
    with other_redis.connect() as client:
        client.flushall()
    return other_redis


def at(server: PrivateMariaDB | PrivateRedis, *names: str) -> dict[str, object]:
    """Keys by which these instances are on this server."""
    return {f"{name}_{key}": value for name in names for key, value in (("host", "127.0.0.1"), ("port", server.port))}


def clients_of(server: PrivateRedis) -> int:
    """Connections to a Redis, our own one not counted."""
    with server.connect() as client:
        return len(client.client_list()) - 1


def sessions_of(server: PrivateMariaDB) -> int:
    """Connections to a MySQL, our own one not counted."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) as n from information_schema.processlist where command <> 'Daemon' and user='teamtalk'")
        return int((cursor.fetchone() or {})["n"]) - 1


class Traffic:
    """Messages and lookups that come all the time: every message has to be stored, every request answered."""

    def __init__(self, proxy: ReloadingProxy, users: tuple[int, int] = (1, 2)) -> None:
        self.ids: list[int] = []
        self.lookups = 0
        self.failures: list[BaseException] = []
        self._users = users
        self._proxy = proxy
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._talk, args=(work,)) for work in (self._write, self._read)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def await_more(self) -> None:
        """Wait until requests have been answered that came after this call."""
        messages, lookups = len(self.ids) + 20, self.lookups + 3
        assert poll(lambda: (len(self.ids) > messages and self.lookups > lookups) or self.failures, bool, timeout=20) is True

    def _talk(self, work: Callable[[Client], None]) -> None:
        try:
            with self._proxy.client() as client:
                while not self._stop.is_set():
                    work(client)
        except (OSError, AssertionError, ConnectionClosedError) as error:
            self.failures.append(error)

    def _write(self, client: Client) -> None:
        replies = client.requests([message(*self._users, f"m{number}") for number in range(10)])
        self.ids.extend(reply.msg_id for reply in replies)  # type: ignore[attr-defined]

    def _read(self, client: Client) -> None:
        assert len(client.user_info([1, 2]).user_info_list) == 2
        assert client.unread(2).user_id == 2
        assert client.device_tokens([1]).user_token_info is not None
        self.lookups += 1


@contextmanager
def replica(stack: Stack, directory: Path) -> Iterator[PrivateMariaDB]:
    """A copy of the stack's database as it is now: what has been written after that is not in it."""
    with PrivateMariaDB(directory, schema=None) as server:
        _copy(stack, server)
        yield server


def _copy(stack: Stack, server: PrivateMariaDB) -> None:
    with stack.mysql() as source, server.connect() as target, source.cursor() as read, target.cursor() as write:
        write.execute("set foreign_key_checks=0")
        for table in stack.tables():
            read.execute(f"show create table `{table}`")
            write.execute(f"drop table if exists `{table}`")
            write.execute(str((read.fetchone() or {})["Create Table"]))
            read.execute(f"select * from `{table}`")
            for row in read.fetchall():
                marks = ",".join(["%s"] * len(row))
                write.execute(f"insert into `{table}` values ({marks})", tuple(row.values()))


def test_all_caches_move_to_an_empty_redis_under_load(stack: Stack, empty_redis: PrivateRedis) -> None:
    seed.group(stack, 9, [1, 2])
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        for number in range(1, 4):
            assert client.send_group_message(1, 9).msg_id == number
        with Traffic(proxy) as traffic:
            traffic.await_more()
            said = proxy.reload(at(empty_redis, *CACHES))
            assert said == "configuration reloaded: " + ", ".join(
                f"{name}_port" for name in ("unread", "group_set", "sync", "token", "group_member")
            )
            traffic.await_more()
        assert traffic.failures == []
        assert sorted(traffic.ids) == list(range(1, len(traffic.ids) + 1))
        assert eventually(lambda: clients_of(stack.redis_server), 0) == 0
        assert clients_of(empty_redis) > 0
        # what was known of the former Redis does not count: members from MySQL, ids and counters after the stored messages
        assert client.send_group_message(1, 9).msg_id == 4
        assert client.send_message(1, 2).msg_id == len(traffic.ids) + 1
        unread = {info.session_id: info.unread_cnt for info in client.unread(2).unreadinfo_list}
        assert unread[9] >= 1
        with empty_redis.connect(5) as members:
            assert sorted(members.hkeys("group_member_9")) == ["1", "2"]
        assert "ERROR" not in proxy.log()


def test_members_of_a_group_are_not_those_that_another_redis_knows(stack: Stack, empty_redis: PrivateRedis) -> None:
    """An old snapshot of the same installation, for example."""
    seed.group(stack, 9, [1, 2])
    with empty_redis.connect(5) as members:
        members.hset("group_member_9", mapping={"1": 1, "77": 1})
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        assert client.send_group_message(2, 9).msg_id == 1
        proxy.reload(at(empty_redis, "group_member"))
        client.send(message(77, 9, msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT))  # not answered: no member
        assert client.send_group_message(2, 9).msg_id == 2
        assert list(client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2]


def test_another_database_number_of_the_same_redis_has_other_data(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client, stack.redis_server.connect(11) as number_11:
        client.set_device_token(1, "first")
        assert proxy.reload({"token_db": 11}) == "configuration reloaded: token_db"
        client.set_device_token(1, "second")
        assert number_11.get("device_1") == "android:second"


def test_everything_moves_to_another_address_of_the_same_servers_and_back_while_messages_are_stored(stack: Stack) -> None:
    names = ("teamtalk_master", "teamtalk_slave", *CACHES)
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        with Traffic(proxy) as traffic, Traffic(proxy, (2, 1)) as other:
            for host in ("localhost", "127.0.0.1") * 3:
                traffic.await_more()
                assert proxy.reload({f"{name}_host": host for name in names}).startswith("configuration reloaded: teamtalk_master_host,")
                other.await_more()
        assert (traffic.failures, other.failures) == ([], [])
        ids = sorted(traffic.ids + other.ids)
        assert ids == list(range(1, len(ids) + 1))
        assert stack.rows("select count(*) as n, count(distinct msgId) as ids from IMMessage_1") == [{"n": len(ids), "ids": len(ids)}]
        counts = {info.session_id: info.unread_cnt for info in client.unread(2).unreadinfo_list}
        assert counts == {1: len(traffic.ids)}
        assert "ERROR" not in proxy.log()
        assert "started again" not in proxy.log()


def test_both_databases_move_to_a_copy_under_load(stack: Stack, tmp_path: Path) -> None:
    """Messages go on between users whose rows are in the copy; ids continue, though Redis does not know that anything has moved."""
    ours = sessions_of(stack.mariadb)
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        ids = [client.send_message(1, 2, f"before {number}").msg_id for number in range(5)]
        with replica(stack, tmp_path) as copy:
            with Lookups(proxy) as lookups:
                lookups.await_more()
                said = proxy.reload(at(copy, "teamtalk_master", "teamtalk_slave"))
                assert said == "configuration reloaded: teamtalk_master_port, teamtalk_slave_port"
                lookups.await_more()
            assert lookups.failures == []
            with Traffic(proxy) as traffic:
                traffic.await_more()
            assert traffic.failures == []
            ids += traffic.ids
            assert sorted(ids) == list(range(1, len(ids) + 1))
            with copy.connect() as connection, connection.cursor() as cursor:
                cursor.execute("select count(*) as n, count(distinct msgId) as ids from IMMessage_1")
                assert list(cursor.fetchall()) == [{"n": len(ids), "ids": len(ids)}]
            assert stack.rows("select count(*) as n from IMMessage_1") == [{"n": 5}]
            assert eventually(lambda: sessions_of(stack.mariadb), ours) == ours
            assert "ERROR" not in proxy.log()
            proxy.stop()


class Lookups(Traffic):
    """Requests that only read, of which no two servers know different things."""

    def _write(self, client: Client) -> None:
        assert client.departments().user_id == 1
        self.ids.extend([1] * 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teamtalk_slave_port": "silent"}, "teamtalk_slave_port"),
        ({"token_port": "silent"}, "token_port"),
        ({"teamtalk_master_password": "wrong-words"}, "teamtalk_master_password"),
        ({"unread_password": "wrong-words"}, "unread_password"),
        ({"teamtalk_master_dbname": "no_such_database"}, "teamtalk_master_dbname"),
        ({"teamtalk_slave_dbname": "no_tables"}, "see conf/schema.sql"),
        ({"token_ssl_ca": __file__}, "token_ssl_ca"),
        ({"token_ssl": "on", "CacheConnectTimeout": 1, "CacheTimeout": 1}, "token_ssl"),
    ],
)
def test_a_backend_that_cannot_be_used_leaves_everything_as_it_was(stack: Stack, changes: dict[str, object], said: str) -> None:
    stack.rows("create database if not exists no_tables")
    changes = {key: free_port() if value == "silent" else value for key, value in changes.items()}
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        before = (clients_of(stack.redis_server), sessions_of(stack.mariadb))
        report = proxy.reload({**changes, "AllowedPeers": "10.0.0.0/8", "MaxConnections": 1})
        assert report.startswith("configuration not reloaded, everything stays as it was: ")
        assert said in report
        assert "wrong-words" not in proxy.log()
        with proxy.client() as other:
            assert other.send_message(1, 2).msg_id == 1
        assert client.departments().user_id == 1
        assert client.device_tokens([1]).user_token_info is not None
        assert eventually(lambda: clients_of(stack.redis_server) <= before[0] + 1, True) is True
        assert eventually(lambda: sessions_of(stack.mariadb) <= before[1] + 1, True) is True


def test_every_backend_that_cannot_be_used_is_named(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy:
        said = proxy.reload({"token_port": free_port(), "teamtalk_slave_port": free_port()})
        assert "Redis instance token" in said
        assert "MySQL instance teamtalk_slave" in said


def test_a_backend_that_is_down_is_in_nobodys_way_if_nothing_of_it_changes(stack: Stack, empty_redis: PrivateRedis) -> None:
    with ReloadingProxy(stack, at(empty_redis, "token")) as proxy, proxy.client() as client:
        empty_redis.stop()
        try:
            assert proxy.reload({"MaxBatchSize": 5}) == "configuration reloaded: MaxBatchSize"
            assert "not reloaded" in proxy.reload({"CacheTimeout": 3})
            assert proxy.reload(at(stack.redis_server, "token")) == "configuration reloaded: CacheTimeout, token_port"
            assert client.set_device_token(1, "abc").user_id == 1
            with stack.redis("token") as tokens:
                assert tokens.get("device_1") == "android:abc"
        finally:
            empty_redis.start()


def test_the_size_of_a_pool(stack: Stack) -> None:
    keys = {"teamtalk_slave_maxconncnt": 1, "DBPoolTimeout": 0.3, "RequestTimeout": 2}
    with (
        ReloadingProxy(stack, keys) as proxy,
        proxy.client() as client,
        stack.mysql() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("lock tables IMDepart write, IMUser read")
        client.send(buddy_pb2.IMDepartmentReq(user_id=1, latest_update_time=0))
        assert "no connection became free" in poll(lambda: _ask_and_log(proxy), lambda log: "no connection became free" in log)
        assert proxy.reload({"teamtalk_slave_maxconncnt": 2}) == "configuration reloaded: teamtalk_slave_maxconncnt"
        with proxy.client() as other:
            assert len(other.user_info([1]).user_info_list) == 1
        cursor.execute("unlock tables")


def _ask_and_log(proxy: ReloadingProxy) -> str:
    with proxy.client() as client:
        client.send(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1]))
        client.silent(0.5)
    return proxy.log()


def test_a_backend_that_hangs_can_be_left(stack: Stack, empty_redis: PrivateRedis) -> None:
    """The batch that waits for it is not waited for beyond half of RequestTimeout, and requests behind it are answered."""
    keys = {**at(empty_redis, "token"), "RequestTimeout": 4, "CacheTimeout": 30}
    with ReloadingProxy(stack, keys) as proxy, proxy.client() as stuck, proxy.client() as client:
        assert stuck.set_device_token(1, "abc").user_id == 1
        empty_redis.freeze()
        try:
            stuck.send(token_request())
            assert "token_port" in proxy.reload(at(stack.redis_server, "token"))
            assert "1 batches are still at work after 2.0 s" in proxy.log()
            assert client.set_device_token(2, "def").user_id == 2
        finally:
            empty_redis.thaw()


def test_a_stop_is_not_kept_waiting_by_a_move(stack: Stack, empty_redis: PrivateRedis) -> None:
    keys = {**at(empty_redis, "token"), "RequestTimeout": 60, "CacheTimeout": 60, "StopGrace": 1}
    with ReloadingProxy(stack, keys) as proxy, proxy.client() as stuck:
        assert stuck.set_device_token(1, "abc").user_id == 1
        empty_redis.freeze()
        try:
            stuck.send(token_request())
            proxy.write(at(stack.redis_server, "token"))
            proxy.signal(signal.SIGHUP)
            with stack.redis() as redis:
                # the new server has been connected to, and the batch that hangs is waited for
                assert poll(lambda: _on_database(redis, 4), lambda found: found > 0) > 0
            proxy.terminate()
            assert proxy.wait(20) == 0
            assert proxy.reports() == ["configuration not reloaded, everything stays as it was: the proxy is stopping"]
        finally:
            empty_redis.thaw()


def _on_database(redis: Redis, number: int) -> int:
    return sum(client["db"] == str(number) for client in redis.client_list())


def token_request() -> login_pb2.IMDeviceTokenReq:
    return login_pb2.IMDeviceTokenReq(user_id=1, device_token="xyz", client_type=base_define_pb2.CLIENT_TYPE_ANDROID)


def test_other_certificates_in_the_same_files(stack: Stack, tmp_path: Path) -> None:
    first, second = Authority("first", tmp_path), Authority("second", tmp_path)
    trusted, cert, key = tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key"

    def use(authority: Authority) -> None:
        pair = authority.issue("server-of-" + authority.certificate.stem)
        for source, target in ((authority.certificate, trusted), (pair.cert, cert), (pair.key, key)):
            shutil.copy(source, target)

    use(first)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-ca-cert-file", str(trusted), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    with (
        PrivateRedis(options=options) as server,
        ReloadingProxy(stack, {"token_port": port, "token_ssl_ca": trusted}) as proxy,
        proxy.client() as client,
    ):
        assert client.set_device_token(1, "abc").user_id == 1
        assert proxy.reload() == "configuration reloaded: nothing has changed"
        use(second)
        with server.connect() as admin:
            # read anew by the server, which then closes what the proxy has
            admin.config_set("tls-cert-file", str(cert), "tls-key-file", str(key), "tls-ca-cert-file", str(trusted))
            admin.client_kill_filter(skipme=True, _type="normal")
        assert proxy.reload() == "configuration reloaded: token_ssl_ca"
        assert client.set_device_token(1, "def").user_id == 1
        with server.connect(4) as tokens:
            assert tokens.get("device_1") == "android:def"
        trusted.write_text("no certificate")
        said = proxy.reload()
        assert "not reloaded" in said
        assert f"the certificates in {trusted} cannot be used" in said
        assert client.set_device_token(1, "ghi").user_id == 1
