"""Accounts, sessions and limits of the web application, without the web."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dbproxy.admin.access.accounts import LONGEST_PASSWORD, Account, Accounts, generated_password
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.roles import PERMISSIONS, Permission, Role, may
from dbproxy.admin.access.web_sessions import LONGEST_SESSION, MOST_SESSIONS, WebSessions
from dbproxy.admin.errors import AdminError, NotFoundError, RefusedError
from dbproxy.admin.web.login_limits import MOST_FOR_ADDRESS, MOST_FOR_NAME, LoginLimits

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"


@pytest.fixture
def database(tmp_path: Path) -> AccountsDatabase:
    return AccountsDatabase(tmp_path / "admin")


@pytest.fixture
def accounts(database: AccountsDatabase) -> Accounts:
    return Accounts(database, QUICK)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_owner_of_the_files_reads_them(database: AccountsDatabase) -> None:
    with database.writing():
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()}
    assert set(modes) >= {"accounts.db", "accounts.db-wal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


def test_accounts_are_not_taken_from_a_directory_in_which_everybody_may_write(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    for mode in (0o777, 0o1777, 0o702):
        directory.chmod(mode)
        with pytest.raises(AdminError, match=f"everybody may write into the directory .*shared .mode {mode:04o}"):
            AccountsDatabase(directory)
    assert list(directory.iterdir()) == []
    directory.chmod(0o2770)  # a volume of Kubernetes
    AccountsDatabase(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_accounts_of_another_user_are_not_taken() -> None:
    with tempfile.TemporaryDirectory() as name:  # that of pytest is closed to others
        AccountsDatabase(Path(name))
        os.chown(name, 65534, 65534)
        (Path(name) / "accounts.db").chmod(0o666)
        program = "import os, pathlib, sys; from dbproxy.admin.access.accounts_database import AccountsDatabase; os.setuid(65534); "
        program += "AccountsDatabase(pathlib.Path(sys.argv[1]))"
        done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=False)
    assert "belong to another user (uid 0)" in done.stderr


def test_a_copy_that_others_can_read_is_closed_to_them(database: AccountsDatabase) -> None:
    database.path.chmod(0o644)
    AccountsDatabase(database.path.parent)
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600


def test_processes_that_begin_at_once_make_one_database(tmp_path: Path) -> None:
    keys: list[bytes] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        keys.append(AccountsDatabase(tmp_path).signing_key())

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_database_of_a_later_version_is_left_alone(database: AccountsDatabase) -> None:
    with database.writing() as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(AdminError, match="made by a later version"):
        AccountsDatabase(database.path.parent)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").write_text("nothing of the kind" * 100)
    with pytest.raises(AdminError, match=r"accounts\.db cannot be used"):
        AccountsDatabase(tmp_path)


def test_passwords_are_checked_and_never_stored(accounts: Accounts, database: AccountsDatabase) -> None:
    made = accounts.add("Alice", PASSWORD, Role.OWNER)
    assert accounts.check("alice", PASSWORD) == made
    assert accounts.check("alice", PASSWORD + " ") is None
    assert accounts.check("bob", PASSWORD) is None
    assert accounts.check("alice", "x" * (LONGEST_PASSWORD + 1)) is None
    with database.reading() as connection:
        stored = connection.execute("select password from account").fetchone()[0]
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


def test_ordinary_parameters_are_those_that_the_library_recommends(database: AccountsDatabase) -> None:
    Accounts(database).add("alice", PASSWORD, Role.OWNER)
    with database.reading() as connection:
        stored = connection.execute("select password from account").fetchone()[0]
    assert not PasswordHasher().check_needs_rehash(stored)


def test_a_hash_with_old_parameters_is_replaced_at_the_next_login(accounts: Accounts, database: AccountsDatabase) -> None:
    accounts.add("alice", PASSWORD, Role.OWNER)
    stronger = Accounts(database, PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert stronger.check("alice", "wrong password") is None
    assert accounts.check("alice", PASSWORD) is not None
    assert stronger.check("alice", PASSWORD) is not None
    with database.reading() as connection:
        assert "m=16,t=2,p=1" in connection.execute("select password from account").fetchone()[0]
    assert stronger.check("alice", PASSWORD) is not None


@pytest.mark.parametrize("name", ["", " ", "a b", "os:root", "-x", ".x", "x" * 65, "<b>", "a\n", "a\u202eb"])
def test_names_that_are_not_accepted(accounts: Accounts, name: str) -> None:
    with pytest.raises(RefusedError, match="cannot be the name of an account; accepted are 1 to 64 letters"):
        accounts.add(name, PASSWORD, Role.OWNER)
    assert accounts.all() == []


@pytest.mark.parametrize("name", ["管理员", "a.b-c_d@example.com", "x" * 64, "7"])
def test_names_that_are(accounts: Accounts, name: str) -> None:
    assert accounts.add(name, PASSWORD, Role.VIEWER) == accounts.get(name)


@pytest.mark.parametrize("other", ["alice", "ALICE", "ａｌｉｃｅ"])
def test_spellings_of_a_name_are_one_account(accounts: Accounts, other: str) -> None:
    accounts.add("Alice", PASSWORD, Role.OWNER)
    with pytest.raises(RefusedError, match="there is an account"):
        accounts.add(other, PASSWORD, Role.VIEWER)
    assert accounts.check(other, PASSWORD) is not None


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * (LONGEST_PASSWORD + 1), "Administrator"])
def test_passwords_that_are_not_accepted_are_not_in_the_error(accounts: Accounts, password: str) -> None:
    with pytest.raises(RefusedError, match="this password is not accepted: it needs 12 to 256 characters") as refused:
        accounts.add("administrator", password, Role.OWNER)
    assert not password or password not in str(refused.value)


def test_generated_passwords_differ_and_are_accepted(accounts: Accounts) -> None:
    made = {generated_password() for _ in range(100)}
    assert len(made) == 100
    accounts.add("alice", made.pop(), Role.OWNER)


def test_there_is_always_an_owner(accounts: Accounts) -> None:
    accounts.add("alice", PASSWORD, Role.OWNER)
    accounts.add("bob", PASSWORD, Role.OPERATOR)
    changes: tuple[Callable[[], Account], ...] = (
        lambda: accounts.set_role("alice", Role.VIEWER),
        lambda: accounts.set_enabled("alice", False),
        lambda: accounts.remove("alice"),
    )
    for change in changes:
        with pytest.raises(RefusedError, match="alice is the last enabled owner"):
            change()
    assert accounts.get("alice").role is Role.OWNER
    assert accounts.get("alice").enabled
    accounts.set_role("bob", Role.OWNER)
    accounts.remove("alice")
    with pytest.raises(NotFoundError, match="there is no account alice"):
        accounts.get("alice")


def test_what_is_kept_of_a_session_is_not_its_token(accounts: Accounts, database: AccountsDatabase) -> None:
    token = WebSessions(database, 1800).begin(accounts.add("alice", PASSWORD, Role.OWNER), "192.0.2.1")
    assert token.encode() not in b"".join(path.read_bytes() for path in database.path.parent.iterdir())


def test_a_session_is_over_when_nothing_was_asked_for(accounts: Accounts, database: AccountsDatabase) -> None:
    clock = Clock()
    sessions = WebSessions(database, 600, clock)
    token = sessions.begin(accounts.add("alice", PASSWORD, Role.OWNER), "192.0.2.1")
    for _ in range(5):
        clock.now += 500
        assert sessions.find(token) is not None
    clock.now += 601
    assert sessions.find(token) is None


def test_a_session_is_over_after_half_a_day_however_busy(accounts: Accounts, database: AccountsDatabase) -> None:
    clock = Clock()
    sessions = WebSessions(database, 3600, clock)
    token = sessions.begin(accounts.add("alice", PASSWORD, Role.OWNER), "192.0.2.1")
    begun = clock.now
    while clock.now <= begun + LONGEST_SESSION - 1800:
        clock.now += 1800
        assert sessions.find(token) is not None
    clock.now += 1
    assert sessions.find(token) is None


def test_a_change_of_an_account_ends_its_sessions_and_no_others(accounts: Accounts, database: AccountsDatabase) -> None:
    sessions = WebSessions(database, 1800)
    alice, bob = accounts.add("alice", PASSWORD, Role.OWNER), accounts.add("bob", PASSWORD, Role.OPERATOR)
    other = sessions.begin(alice, "192.0.2.1")
    changes: tuple[Callable[[], Account], ...] = (
        lambda: accounts.set_role("bob", Role.VIEWER),
        lambda: accounts.set_password("bob", PASSWORD + "!"),
        lambda: accounts.set_enabled("bob", False),
        lambda: accounts.remove("bob"),
    )
    for change in changes:
        token = sessions.begin(bob, "192.0.2.2")
        change()
        assert sessions.find(token) is None
    assert sessions.find(other) is not None


def test_a_disabled_account_has_no_session_and_cannot_log_in(accounts: Accounts) -> None:
    accounts.add("alice", PASSWORD, Role.OWNER)
    accounts.add("bob", PASSWORD, Role.OPERATOR)
    accounts.set_enabled("bob", False)
    assert accounts.check("bob", PASSWORD) is None
    accounts.set_enabled("bob", True)
    assert accounts.check("bob", PASSWORD) is not None


def test_the_sessions_of_an_account_are_bounded(accounts: Accounts, database: AccountsDatabase) -> None:
    clock = Clock()
    sessions = WebSessions(database, 1800, clock)
    alice = accounts.add("alice", PASSWORD, Role.OWNER)
    tokens = []
    for _ in range(MOST_SESSIONS + 2):
        clock.now += 1
        tokens.append(sessions.begin(alice, "192.0.2.1"))
    assert [sessions.find(token) is not None for token in tokens] == [False, False] + [True] * MOST_SESSIONS
    assert sessions.end_all(alice) == MOST_SESSIONS
    assert sessions.find(tokens[-1]) is None


def test_wrong_passwords_from_an_address_keep_it_out_for_half_an_hour() -> None:
    clock = Clock()
    limits = LoginLimits(clock)
    for count in range(MOST_FOR_ADDRESS):
        assert not limits.is_refused("alice", "192.0.2.1")
        limits.failed(f"name{count}", "192.0.2.1")
    assert limits.is_refused("alice", "192.0.2.1")
    assert not limits.is_refused("alice", "192.0.2.2")
    clock.now += 1801
    assert not limits.is_refused("alice", "192.0.2.1")


def test_wrong_passwords_for_a_name_keep_it_out_from_everywhere() -> None:
    limits = LoginLimits(Clock())
    for count in range(MOST_FOR_NAME):
        assert not limits.is_refused("alice", "192.0.2.1")
        limits.failed("Alice" if count % 2 else "alice", f"198.51.100.{count}")
    assert limits.is_refused("ALICE", "192.0.2.1")
    assert not limits.is_refused("bob", "192.0.2.1")


def test_all_addresses_of_an_ipv6_network_count_as_one() -> None:
    limits = LoginLimits(Clock())
    for count in range(MOST_FOR_ADDRESS):
        limits.failed("alice", f"2001:db8::{count:x}")
    assert limits.is_refused("alice", "2001:db8::ffff")
    assert not limits.is_refused("alice", "2001:db8:0:1::1")


def test_a_login_forgets_the_failures_of_its_name_and_not_those_of_its_address() -> None:
    limits = LoginLimits(Clock())
    for _ in range(MOST_FOR_ADDRESS - 1):
        limits.failed("alice", "192.0.2.1")
    limits.succeeded("alice")
    limits.failed("bob", "192.0.2.1")
    assert limits.is_refused("alice", "192.0.2.1")
    assert not limits.is_refused("alice", "192.0.2.2")


def test_a_role_may_what_the_one_below_it_may() -> None:
    assert PERMISSIONS[Role.VIEWER] < PERMISSIONS[Role.OPERATOR] < PERMISSIONS[Role.OWNER] == frozenset(Permission)
    assert not may(Role.VIEWER, Permission.READ)


def test_a_dry_run_checks_everything_and_changes_nothing(accounts: Accounts, database: AccountsDatabase) -> None:
    accounts.add("alice", PASSWORD, Role.OWNER)
    bob = accounts.add("bob", PASSWORD, Role.OPERATOR)
    token = WebSessions(database, 1800).begin(bob, "192.0.2.1")
    before = accounts.all()
    assert accounts.add("carol", "", Role.VIEWER, dry_run=True).name == "carol"
    assert accounts.set_role("bob", Role.VIEWER, dry_run=True).role is Role.VIEWER
    assert not accounts.set_enabled("bob", False, dry_run=True).enabled
    assert accounts.remove("bob", dry_run=True).name == "bob"
    refused: tuple[Callable[[], Account], ...] = (
        lambda: accounts.add("Alice", "", Role.VIEWER, dry_run=True),
        lambda: accounts.add("a b", "", Role.VIEWER, dry_run=True),
        lambda: accounts.set_role("alice", Role.VIEWER, dry_run=True),
        lambda: accounts.remove("alice", dry_run=True),
    )
    for change in refused:
        with pytest.raises(RefusedError):
            change()
    assert accounts.all() == before
    assert WebSessions(database, 1800).find(token) is not None
