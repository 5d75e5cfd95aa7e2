"""teamtalk_master with several hosts: the first that takes writes is used, and another one after a failover, without a restart."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from control import ctl
from examined import examined
from steady_load import SteadyLoad, assert_nothing_is_twice, stored

from dbproxy.config import parse_config
from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.databases import check_databases
from dbproxy.errors import BackendNotReadyError
from dbproxy.stores.mysql import DBManager
from dbproxy.testing import ProxyProcess, ReplicaStack, seed
from dbproxy.testing.faulty_link import FaultyLink

pytestmark = pytest.mark.watchdog(90)

KEYS: dict[str, object] = {"StopGrace": 1, "DBConnectTimeout": 3}
PATIENT: dict[str, object] = {**KEYS, "DBConnectTimeout": 15, "RequestTimeout": 40, "DBLockTimeout": 20, "DBTimeout": 25}
"""A switch may take long on a busy machine: it is waited for up to DBConnectTimeout, and for commits that it holds up DBLockTimeout."""
NAMES = ("alice", "bob", "carol", "dave")


@pytest.fixture(scope="module")
def servers() -> Iterator[ReplicaStack]:
    """A primary and a replica, which has each commit before it is acknowledged."""
    with ReplicaStack(list_hosts=True, semi_sync=True) as stack:
        yield stack


@pytest.fixture
def stack(servers: ReplicaStack) -> ReplicaStack:
    servers.reset()
    seed.users(servers, *NAMES)
    servers.wait_for_replicas()
    return servers


def address(stack: ReplicaStack, number: int) -> str:
    return "{}:{}".format(*stack.servers[number].address)


@contextlib.contextmanager
def pools(stack: ReplicaStack, **overrides: object) -> Iterator[DBManager]:
    """The pools of a proxy with this configuration, connected."""
    text = "".join(f"{key}={value}\n" for key, value in stack.config({**KEYS, **overrides}).items())
    manager = DBManager(parse_config(text))
    try:
        manager.master.open()
        yield manager
    finally:
        manager.close()


# which server is chosen


def test_the_first_host_that_takes_writes_is_chosen_whatever_its_place(stack: ReplicaStack) -> None:
    hosts = f"127.0.0.1:1,{address(stack, 1)},{address(stack, 0)}"
    with pools(stack, teamtalk_master_host=hosts) as databases:
        assert databases.master.report().server == address(stack, 0)
        assert databases.master.failovers == 0


def test_without_a_writable_host_the_start_says_what_each_of_them_says(stack: ReplicaStack) -> None:
    with (
        pytest.raises(BackendNotReadyError) as refused,
        pools(stack, teamtalk_master_host=f"127.0.0.1:1,{address(stack, 1)}"),
    ):
        pass
    text = str(refused.value)
    assert "127.0.0.1:1: Can't connect" in text
    assert f"{address(stack, 1)}: it is read-only" in text
    assert "teamtalk_master_host" in text


def test_a_host_that_says_nothing_is_waited_for_once_and_no_longer_than_a_connect_may_take(stack: ReplicaStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{address(stack, 0)}"
        began = time.monotonic()
        with pools(stack, teamtalk_master_host=hosts, DBConnectTimeout=2) as databases:
            assert time.monotonic() - began < 10
            assert databases.master.report().server == address(stack, 0)
            began = time.monotonic()
            databases.master.close()
            assert databases.master.select("select 1") == [(b"1",)]
            assert time.monotonic() - began < 1  # the server in use is asked, not the list


def test_the_doctor_examines_each_host_and_names_the_one_that_is_used(stack: ReplicaStack) -> None:
    found = examined(check_databases, stack, {"teamtalk_master_host": f"{address(stack, 1)},127.0.0.1:1,{address(stack, 0)}"})
    said = {finding.subject.rpartition(" ")[2]: finding for finding in found.of(Kind.HOSTS)}
    assert "it is read-only" in said[address(stack, 1)].what
    assert "is the one that a proxy that is started now uses" in said[address(stack, 0)].what
    assert found.of(Kind.UNREACHABLE, "MySQL teamtalk_master at 127.0.0.1:1")
    assert found.only(Kind.READ_ONLY, "MySQL teamtalk_master").level is Level.OK


@pytest.mark.long
def test_the_doctor_warns_of_an_account_that_read_only_does_not_stop_and_of_a_list_without_a_primary(stack: ReplicaStack) -> None:
    keys = {"teamtalk_master_host": f"127.0.0.1:1,{address(stack, 1)}"}
    keys |= {"teamtalk_master_username": stack.mariadb.user, "teamtalk_master_password": stack.mariadb.password}
    hosts = examined(check_databases, stack, keys).of(Kind.HOSTS)
    assert [finding.level for finding in hosts] == [Level.OK, Level.WARNING, Level.ERROR]
    assert "the account may write although the server is read-only" in hosts[1].what


# failovers


def test_a_planned_switch_under_load_refuses_nothing(stack: ReplicaStack) -> None:
    with ProxyProcess(stack, PATIENT) as one, ProxyProcess(stack, PATIENT) as two:
        with SteadyLoad([one, two]) as load:
            load.more(50)
            stack.promote()
            load.more(100)
        assert load.errors == []
        assert load.refused == []
        assert "another server answers now" in one.log()
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) == set(rows)


def test_with_semi_sync_a_crash_loses_nothing_that_was_acknowledged(stack: ReplicaStack) -> None:
    with ProxyProcess(stack, KEYS) as one, ProxyProcess(stack, KEYS) as two:
        with SteadyLoad([one, two]) as load:
            load.more(50)
            stack.servers[0].kill()
            stack.promote()
            promoted = time.monotonic()
            load.more(100)
        assert load.errors == []
        assert [text for refused_at, text in load.refused if refused_at > promoted + 1] == []
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) - set(rows) == set()


def test_a_switch_behind_a_virtual_address_refuses_nothing(stack: ReplicaStack) -> None:
    """One host in the configuration. The connections to the former primary stay open, as they do when an address moves."""
    with FaultyLink(stack.servers[0].address) as link:
        here = {**PATIENT, "teamtalk_master_host": "127.0.0.1", "teamtalk_master_port": link.port}
        with ProxyProcess(stack, here) as one, ProxyProcess(stack, here) as two:
            with SteadyLoad([one, two]) as load:
                load.more(50)
                stack.promote()
                link.lead_to(stack.servers[1].address)
                load.more(100)
            assert load.errors == []
            assert load.refused == []
    rows = stored(stack)
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) == set(rows)


@pytest.mark.long
def test_a_primary_that_hangs_is_left_when_another_one_is_promoted(stack: ReplicaStack) -> None:
    keys = {**KEYS, "DBTimeout": 2, "DBLockTimeout": 1, "DBConnectTimeout": 2}
    with ProxyProcess(stack, keys) as proxy:
        with SteadyLoad([proxy]) as load:
            load.more(20)
            stack.servers[0].freeze()
            stack.promote(former_hangs=True)
            load.more(50)
        assert load.errors == []
        rows = stored(stack)
        stack.servers[0].kill()  # before it goes on with what it had not finished
    assert_nothing_is_twice(load, rows)
    assert set(load.acknowledged) - set(rows) == set()


@pytest.mark.long
def test_a_changed_list_is_applied_by_a_reload_and_shown_to_operators(stack: ReplicaStack) -> None:
    with ProxyProcess(stack, {**KEYS, "teamtalk_master_host": address(stack, 0)}) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        stack.write_config(proxy.config_path, {**KEYS, "ListenPort": proxy.port})
        assert ctl(proxy.directory, "reload").code == 0
        stack.promote()
        assert client.send_message(1, 2).msg_id == 2
        done = ctl(proxy.directory, "pools")
        assert done.code == 0
        (row,) = [line.split() for line in done.out.splitlines() if line.startswith("teamtalk_master ")]
        assert row[2] == address(stack, 1)
        assert "teamtalk_master: turned to another server 1 times" in done.out
    assert [row.msg_id for row in sorted(stored(stack))] == [1, 2]


# the former primary


@pytest.mark.long
def test_a_former_primary_that_comes_back_is_not_used_while_it_is_read_only(stack: ReplicaStack) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        stack.promote()
        assert client.send_message(1, 2).msg_id == 2
        stack.wait_for_replicas()
        with pools(stack) as databases:
            assert databases.master.report().server == address(stack, 1)
        stack.servers[1].set_read_only(True)
        stack.servers[0].lead()
        stack.mariadb = stack.servers[0]
        assert client.send_message(1, 2).msg_id == 3
        with pools(stack) as databases:
            assert databases.master.report().server == address(stack, 0)
    assert [row.msg_id for row in sorted(stored(stack))] == [1, 2, 3]


def test_a_former_primary_that_comes_back_writable_is_told_from_its_successor(
    stack: ReplicaStack, caplog: pytest.LogCaptureFixture
) -> None:
    with ProxyProcess(stack, KEYS) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        stack.servers[0].kill()
        stack.promote()
        assert client.send_message(1, 2).msg_id == 2
        stack.servers[0].start()  # nobody has told it to be read-only
        assert client.send_message(1, 2).msg_id == 3
        with pools(stack) as databases:
            assert databases.master.report().server == address(stack, 1)
        assert f"not only {address(stack, 1)} takes writes, but also {address(stack, 0)}" in caplog.text
    assert [row.msg_id for row in sorted(stored(stack))] == [1, 2, 3]
