"""The choice among the servers of a list, with servers that are played by functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dbproxy.config import DBInstance
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.mysql.errors import CannotConnectError
from dbproxy.stores.mysql.server_choice import NOT_CONNECTED, ServerChoice
from dbproxy.stores.mysql.server_role import History, ServerRole
from dbproxy.stores.mysql.server_search import Address

A, B, C = ("a", 1), ("b", 2), ("c", 3)


class Servers:
    """What each address answers; and the connections of a pool, which are counted when they are closed."""

    def __init__(self, **answers: str) -> None:
        """Host → "writable", "read-only", "refuses", "timed out" or "denied"."""
        self.answers = answers
        self.identities = {name: name for name in answers}
        self.asked: list[str] = []
        self.server = ""
        self.closed = 0
        self.before_answer: Callable[[], None] = lambda: None

    def attempt(self, address: Address, timeout: float) -> ServerRole:
        host = address[0]
        self.asked.append(host)
        self.before_answer()
        answer = self.answers[host]
        if answer == "denied":
            raise CannotConnectError(1045, "access denied")
        if answer in ("refuses", "timed out"):
            raise CannotConnectError(2003, f"Can't connect ({answer})")
        return ServerRole(self.identities[host], 1000, "" if answer == "writable" else "it is read-only")

    def show_server(self, server: str) -> None:
        self.server = server

    def close_idle(self) -> None:
        self.closed += 1


def choice_of(servers: Servers, *addresses: Address, patience: float = 0.3, for_writes: bool = True) -> ServerChoice:
    instance = DBInstance(name="db", hosts=addresses, default_port=1, dbname="teamtalk", username="u", password="p", maxconncnt=3, tls=None)
    return ServerChoice(instance, patience, UNTRACKED, servers, for_writes=for_writes)


def test_the_one_in_use_is_kept_when_an_earlier_one_takes_writes_again() -> None:
    servers = Servers(a="refuses", b="writable")
    choice = choice_of(servers, A, B)
    assert choice.server == "a:1,b:2"
    assert choice.connect(servers.attempt).role.identity == "b"
    servers.answers["a"] = "writable"
    servers.asked.clear()
    assert choice.connect(servers.attempt).role.identity == "b"
    assert servers.asked == ["b"]
    assert (choice.server, servers.server, choice.failovers) == ("b:2", "b:2", 0)


def test_connections_of_the_former_server_are_not_held_after_a_failover() -> None:
    servers = Servers(a="writable", b="read-only")
    choice = choice_of(servers, A, B)
    connected = choice.connect(servers.attempt)
    assert choice.holds(connected)
    assert not choice.holds(NOT_CONNECTED)
    servers.answers |= {"a": "refuses", "b": "writable"}
    other = choice.connect(servers.attempt)
    assert not choice.holds(connected)
    assert choice.holds(other)
    assert (choice.failovers, servers.closed) == (1, 1)


def test_a_server_that_is_started_again_is_no_failover() -> None:
    servers = Servers(a="writable", b="read-only")
    choice = choice_of(servers, A, B)
    connected = choice.connect(servers.attempt)
    servers.answers["a"] = "refuses"
    with pytest.raises(CannotConnectError, match=r"none of its servers takes writes: a:1: .*; b:2: it is read-only"):
        choice.connect(servers.attempt)
    servers.answers["a"] = "writable"
    time.sleep(0.15)
    assert choice.connect(servers.attempt).generation == connected.generation
    assert choice.failovers == 0


def test_reading_goes_on_with_a_server_that_has_become_read_only() -> None:
    servers = Servers(a="writable", b="read-only")
    choice = choice_of(servers, A, B)
    connected = choice.connect(servers.attempt)
    servers.answers["a"] = "read-only"
    choice.refused(connected.generation)
    again = choice.connect(servers.attempt)
    assert again.role.identity == "a"
    assert again.expires < time.monotonic() + 2  # it is looked for another one soon
    assert choice.await_writes(lambda: False) is False
    servers.answers["b"] = "writable"
    time.sleep(0.15)
    assert choice.connect(servers.attempt).role.identity == "b"
    assert choice.await_writes(lambda: False) is True


def test_an_old_refusal_is_no_news() -> None:
    servers = Servers(a="writable")
    choice = choice_of(servers, A)
    connected = choice.connect(servers.attempt)
    choice.refused(connected.generation)
    choice.refused(connected.generation)
    assert (choice.generation, servers.closed) == (1, 1)


def test_another_server_behind_the_same_address_is_a_failover() -> None:
    servers = Servers(a="writable")
    choice = choice_of(servers, A)
    connected = choice.connect(servers.attempt)
    servers.identities["a"] = "another"
    choice.connect(servers.attempt)
    assert choice.failovers == 1
    assert not choice.holds(connected)


def test_a_pool_that_does_not_write_takes_what_it_finds() -> None:
    servers = Servers(a="read-only")
    choice = choice_of(servers, A, for_writes=False)
    connected = choice.connect(servers.attempt)
    servers.identities["a"] = "another"
    choice.connect(servers.attempt)
    assert choice.holds(connected)
    assert choice.failovers == 1


def test_a_silent_host_is_asked_once_and_after_the_others() -> None:
    servers = Servers(a="timed out", b="read-only", c="read-only")
    choice = choice_of(servers, A, B, C, patience=0.1)
    for _ in range(3):
        with pytest.raises(CannotConnectError):
            choice.connect(servers.attempt)
        time.sleep(0.11)
    assert servers.asked.count("a") == 1


def test_a_login_that_is_denied_everywhere_is_no_matter_of_waiting() -> None:
    servers = Servers(a="denied", b="denied")
    with pytest.raises(CannotConnectError) as refused:
        choice_of(servers, A, B).connect(servers.attempt)
    assert refused.value.args[0] == 1045


def test_one_thread_searches_and_the_others_wait_for_it() -> None:
    servers = Servers(a="writable", b="read-only")
    choice = choice_of(servers, A, B, patience=5)
    choice.connect(servers.attempt)
    choice.refused(0)
    servers.answers["a"] = "refuses"
    time.sleep(0.15)  # the list has not just been searched
    servers.asked.clear()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(choice.connect(servers.attempt).role.identity)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.35)
    servers.answers["b"] = "writable"
    for thread in threads:
        thread.join(5)
    assert found == ["b"] * 8
    assert servers.asked.count("a") < 10  # not each of them in each round


def test_a_search_that_began_before_a_failover_does_not_undo_it() -> None:
    servers = Servers(a="writable", b="read-only")
    choice = choice_of(servers, A, B)
    connected = choice.connect(servers.attempt)

    def another_thread_finds_b() -> None:
        servers.before_answer = lambda: None
        servers.answers |= {"a": "refuses", "b": "writable"}
        choice.connect(servers.attempt)
        servers.answers["a"] = "writable"

    servers.before_answer = another_thread_finds_b
    assert choice.connect(servers.attempt).role.identity == "b"
    assert not choice.holds(connected)


MARIADB = [("1", "0-1-105"), ("2", "0-1-100,0-2-230")]
MYSQL = [
    ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-105"),
    (
        "4e11fa47-71ca-11e1-9e33-c80aa9429562",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1-7:t1:1-20",
    ),
]


@pytest.mark.parametrize(("make", "gtids"), [(History.of_mariadb, MARIADB), (History.of_mysql, MYSQL)])
def test_the_history_of_a_promoted_replica_goes_on_after_that_of_its_primary(
    make: Callable[[str, str], History], gtids: list[tuple[str, str]]
) -> None:
    former, promoted = (make(*one) for one in gtids)
    assert promoted.goes_on_after(former)
    assert not former.goes_on_after(promoted)
    assert not former.goes_on_after(former)


@pytest.mark.parametrize(("make", "gtids"), [(History.of_mariadb, MARIADB), (History.of_mysql, MYSQL)])
def test_without_gtids_no_history_goes_on_after_another(make: Callable[[str, str], History], gtids: list[tuple[str, str]]) -> None:
    origin, _ = gtids[0]
    assert not make(origin, "").goes_on_after(make(origin, ""))
    assert not History().goes_on_after(make(*gtids[1]))
