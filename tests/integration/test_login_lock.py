"""Whose failed logins are counted, and that each attempt is counted once: with real stores, and threads that meet where they do harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.handlers.login import LoginHandlers
from dbproxy.models.device import DeviceModel
from dbproxy.models.login_attempts import WINDOW, LoginAttempts
from dbproxy.models.user import Login, UserModel
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import server_pb2

PASSWORD = "e10adc3949ba59abbe56e057f20f883e"
"""The md5 of 123456, in hex."""

OK, WRONG, FAILED, LOCKED = 0, 1, 2, 6


pytestmark = pytest.mark.data(users=["alice", "bob"])


def login(name: str, password: str = "wrong") -> server_pb2.IMValidateReq:
    return server_pb2.IMValidateReq(user_name=name, password=password)


def results(client: Client, *requests: server_pb2.IMValidateReq) -> list[int]:
    """The result codes of logins that are sent at once."""
    return [reply.result_code for reply in client.requests(requests)]  # type: ignore[attr-defined]


def test_a_locked_account_stays_locked_under_any_spelling_of_its_name(stack: Stack, dbproxy_client: Client) -> None:
    assert results(dbproxy_client, *[login("alice")] * 11) == [WRONG] * 11
    for name in ("alice", "alice ", "alice   "):
        assert dbproxy_client.login(name).result_code == LOCKED
    assert dbproxy_client.login("bob").result_code == OK


def test_failures_under_different_spellings_add_up(stack: Stack, dbproxy_client: Client) -> None:
    assert results(dbproxy_client, *[login("alice" + " " * number) for number in range(12)]) == [WRONG] * 11 + [LOCKED]


def test_a_login_under_another_spelling_forgets_the_failures(stack: Stack, dbproxy_client: Client) -> None:
    for name in ("alice ", "alice"):
        assert results(dbproxy_client, *[login("alice")] * 10) == [WRONG] * 10
        assert dbproxy_client.login(name).result_code == OK


def test_letter_case_opens_no_lock_where_the_column_ignores_it(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("alter table IMUser modify name varchar(32) character set utf8mb4 collate utf8mb4_general_ci not null default ''")
    try:
        assert dbproxy_client.login("ALICE").user_info.user_id == 1
        names = ("alice", "Alice", "ALICE ", "bob", "BOB", "nobody") * 4
        assert results(dbproxy_client, *map(login, names))[-4:] == [LOCKED, WRONG, WRONG, WRONG]
        assert dbproxy_client.login("aLiCe").result_code == LOCKED
        assert dbproxy_client.login("Bob").result_code == OK
    finally:
        stack.rows("alter table IMUser modify name varchar(32) character set utf8mb4 collate utf8mb4_bin not null default ''")


def test_two_users_whose_names_differ_by_a_blank_are_locked_apart(stack: Stack, dbproxy_client: Client) -> None:
    seed.user(stack, 3, "pad")
    seed.user(stack, 4, "pad ")
    assert results(dbproxy_client, *[login("pad")] * 11) == [WRONG] * 11
    assert dbproxy_client.login("pad").result_code == LOCKED
    assert dbproxy_client.login("pad ").user_info.user_id == 4


def test_unknown_names_are_locked_by_their_spelling(stack: Stack, dbproxy_client: Client) -> None:
    seed.user(stack, 3, "gone", status=3)
    for name in ("nobody", "gone"):
        assert results(dbproxy_client, *[login(name)] * 12) == [WRONG] * 11 + [LOCKED]
        assert dbproxy_client.login(name + " ").result_code == WRONG


def test_spellings_of_one_batch_cost_one_statement_more(stack: Stack, dbproxy_client: Client) -> None:
    def selects() -> int:
        return int(str(stack.rows("show global status like 'Com_select'")[0]["Value"]))

    def cost(*names: str) -> int:
        before = selects()
        results(dbproxy_client, *[login(name, PASSWORD) for name in names])
        return selects() - before

    dbproxy_client.login("alice")
    assert cost("alice", *[f"nobody {number}" for number in range(40)]) < 20  # two for a batch, and there may be more than one


def test_logins_beside_one_that_cannot_be_answered_are_counted_once(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("alter table IMUser modify departId bigint unsigned not null")
    try:
        seed.user(stack, 3, "carol", depart_id=2**40)  # more than the protocol can say
        assert results(dbproxy_client, *[login("nobody")] * 10, login("carol", PASSWORD), login("alice", PASSWORD)) == [
            *[WRONG] * 10,
            FAILED,
            OK,
        ]
        assert results(dbproxy_client, *[login("nobody")] * 2) == [WRONG, LOCKED]
    finally:
        stack.rows("delete from IMUser where id=3")
        stack.rows("alter table IMUser modify departId int(11) unsigned not null")


def test_logins_that_no_database_has_checked_are_not_counted(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("alter table IMUser rename to IMUser_gone")
    try:
        assert results(dbproxy_client, *[login("alice")] * 15) == [FAILED] * 15
    finally:
        stack.rows("alter table IMUser_gone rename to IMUser")
    assert results(dbproxy_client, *[login("alice")] * 10) == [WRONG] * 10
    assert dbproxy_client.login("alice").result_code == OK


class Clock:
    """Half an hour passes after the next ``calls_left`` looks at it."""

    def __init__(self) -> None:
        self.calls_left = 1_000_000

    def __call__(self) -> float:
        self.calls_left -= 1
        return 1000.0 if self.calls_left >= 0 else 1001.0 + WINDOW


class HeldUsers(UserModel):
    """A lookup whose answer is held back until ``barrier`` lets everybody go on."""

    barrier: threading.Barrier | None = None

    def authenticate(self, credentials: Sequence[tuple[str | bytes, str | bytes]]) -> list[Login]:
        found = super().authenticate(credentials)
        if self.barrier is not None:
            self.barrier.wait(10)
        return found


class HeldRequests(list[server_pb2.IMValidateReq]):
    """Requests of which the first is taken before, and the others after, ``meanwhile`` has happened."""

    def __init__(self, requests: Sequence[server_pb2.IMValidateReq], taken: threading.Event, meanwhile: threading.Event) -> None:
        super().__init__(requests)
        self._taken = taken
        self._meanwhile = meanwhile

    def __iter__(self) -> Iterator[server_pb2.IMValidateReq]:
        for index in range(len(self)):
            yield self[index]
            self._taken.set()
            assert self._meanwhile.wait(10)


class Logins:
    """The handler of logins as the workers call it, with the models of a proxy."""

    def __init__(self, backends: Backends) -> None:
        self.clock = Clock()
        self.users = HeldUsers(backends.master, backends.slave, backends.caches.unread)
        no_devices = cast("DeviceModel", None)  # logins have nothing to do with them
        self._handlers = LoginHandlers(self.users, no_devices, LoginAttempts(self.clock))

    def __call__(self, requests: Sequence[server_pb2.IMValidateReq]) -> list[int]:
        replies = self._handlers.validate(requests)
        assert [reply.user_name for reply in replies] == [request.user_name for request in requests]
        return [reply.result_code for reply in replies]


@pytest.fixture
def logins(stack: Stack) -> Iterator[Logins]:
    with Backends(load_config(stack.write_config())) as backends:
        yield Logins(backends)


class InThread(threading.Thread):
    """A batch of logins in a worker of its own."""

    def __init__(self, logins: Logins, requests: Sequence[server_pb2.IMValidateReq]) -> None:
        super().__init__(daemon=True)
        self._logins = logins
        self._requests = requests
        self._results: list[int] | None = None
        self.start()

    def run(self) -> None:
        self._results = self._logins(self._requests)

    def results(self) -> list[int] | None:
        """What came out; None when the thread died of something."""
        self.join(20)
        return self._results


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_lock_by_another_thread_during_a_batch_is_consistent(logins: Logins, name: str) -> None:
    taken, locked = threading.Event(), threading.Event()
    first = InThread(logins, HeldRequests([login(name), login(name), login("bob", PASSWORD), login("bob")], taken, locked))
    assert taken.wait(10)
    assert InThread(logins, [login(name)] * 11).results() == [WRONG] * 11
    locked.set()
    assert first.results() == [LOCKED, LOCKED, OK, WRONG]


def test_a_lock_that_ends_in_the_middle_of_a_batch_mixes_up_nothing(logins: Logins) -> None:
    logins([login("nobody")] * 11)
    logins.clock.calls_left = 1
    assert logins([login("nobody"), login("nobody"), login("bob", PASSWORD)]) == [LOCKED, WRONG, OK]


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_attempts_of_two_threads_are_all_counted_and_none_too_many(logins: Logins, name: str) -> None:
    logins.users.barrier = threading.Barrier(2)
    both = [InThread(logins, [login(name)] * 7) for _ in range(2)]
    codes = [code for thread in both for code in thread.results() or ()]
    assert sorted(codes) == [WRONG] * 11 + [LOCKED] * 3


def test_a_right_password_does_not_unlock_what_another_thread_locks(logins: Logins) -> None:
    barrier = threading.Barrier(2)
    logins.users.barrier = barrier
    right = InThread(logins, [login("alice", PASSWORD)])
    assert eventually(lambda: barrier.n_waiting, 1) == 1  # the password has been compared
    logins.users.barrier = None
    assert logins([login("alice ")] * 11) == [WRONG] * 11
    barrier.wait(10)
    assert right.results() == [LOCKED]
