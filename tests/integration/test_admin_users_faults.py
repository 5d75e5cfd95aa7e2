"""dbproxy-admin: backends that fail while users are added, imported or disabled. Nobody is added twice, and what was done is said."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.installation import Installation
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.admin.people.user_import import UserImport
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.config import load_config
from dbproxy.errors import StoreError
from dbproxy.testing import ProxyProcess, Stack, seed
from dbproxy.testing.faulty_link import FaultyLink

pytestmark = pytest.mark.watchdog(240)

Opened = Callable[..., Administration]


@pytest.fixture
def opened(stack: Stack, tmp_path: Path) -> Iterator[Opened]:
    """Open an installation with keys of its configuration that differ."""
    seed.department(stack, 1, "A")
    with ExitStack() as exits:

        def open_one(**keys: object) -> Administration:
            config = load_config(stack.write_config(overrides={"AdminDataDir": tmp_path / "admin", **keys}))
            installation = exits.enter_context(Installation(config))
            return Administration(installation, Actor("os:test", "command line"), AuditLog(installation.data_directory))

        yield open_one


@pytest.fixture
def link(stack: Stack) -> Iterator[FaultyLink]:
    with FaultyLink(stack.mariadb.address) as link:
        yield link


def through(link: FaultyLink) -> dict[str, object]:
    return {"teamtalk_master_host": "127.0.0.1", "teamtalk_master_port": link.port}


def names_and_hashes(stack: Stack) -> dict[str, tuple[str, str]]:
    rows = stack.rows("select name,password,salt from IMUser")
    assert len({row["name"] for row in rows}) == len(rows)
    return {str(row["name"]): (str(row["password"]), str(row["salt"])) for row in rows}


@pytest.mark.parametrize("committed", [True, False])
def test_a_user_whose_commit_was_lost_is_added_once_with_the_password_that_is_shown(
    stack: Stack, opened: Opened, link: FaultyLink, committed: bool
) -> None:
    users = Users(opened(**through(link)))
    users.find()
    link.cut_at(b"commit", pass_on=committed)
    saved = users.add(NewUser("alice"))
    assert link.cuts == 1
    stored = names_and_hashes(stack)
    assert list(stored) == ["alice"]
    assert stored["alice"][0] == seed.password_hash(str(saved.password), stored["alice"][1])
    assert users.get("alice").user_id == saved.user_id


@pytest.mark.parametrize("committed", [True, False])
def test_a_user_is_disabled_though_the_commit_was_lost(stack: Stack, opened: Opened, link: FaultyLink, committed: bool) -> None:
    seed.user(stack, 1, "alice")
    users = Users(opened(**through(link)))
    users.find()
    link.cut_at(b"commit", pass_on=committed)
    assert users.disable(1).status == "disabled"
    assert link.cuts == 1
    assert stack.rows("select status from IMUser where id=1") == [{"status": 3}]
    with stack.redis("unread") as client:
        assert client.get("total_user_update") is not None


@pytest.mark.parametrize("committed", [True, False])
def test_an_import_whose_commit_was_lost_adds_everybody_once_with_the_passwords_in_the_file(
    stack: Stack, opened: Opened, link: FaultyLink, tmp_path: Path, committed: bool
) -> None:
    administration = opened(**through(link))
    lines = "name\n" + "".join(f"user{number}\n" for number in range(2500))
    path = tmp_path / "passwords.csv"
    with PasswordFile(path) as passwords:
        report = UserImport(administration).run(
            io.BytesIO(lines.encode()), passwords=passwords, on_progress=lambda *_: link.cut_at(b"commit", pass_on=committed)
        )
    assert (report.added, report.refused_count, link.cuts) == (2500, 0, 2)
    stored = names_and_hashes(stack)
    written = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert len(written) == len(stored) == 2500
    for row in written:
        hashed, salt = stored[row["name"]]
        assert hashed == seed.password_hash(row["password"], salt)


def test_an_import_that_lost_the_database_goes_on_where_it_was_when_it_is_run_again(stack: Stack, opened: Opened, tmp_path: Path) -> None:
    administration = opened(DBConnectTimeout=1)
    file = io.BytesIO(("name\n" + "".join(f"user{number}\n" for number in range(2500))).encode())
    paths = [tmp_path / f"passwords{number}.csv" for number in range(2)]

    def kill_the_database(done: int, _: int) -> None:
        if done == 1000:
            stack.mariadb.kill()

    def import_once(path: Path, on_progress: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        with PasswordFile(path) as passwords:
            report = UserImport(administration).run(file, passwords=passwords, on_progress=on_progress)
        return report.added, report.refused_count

    with pytest.raises(StoreError):
        import_once(paths[0], kill_the_database)
    stack.mariadb.start()
    assert import_once(paths[1]) == (1500, 1000)
    stored = names_and_hashes(stack)
    written = [row for path in paths for row in csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())]
    assert sorted(row["name"] for row in written) == sorted(stored)
    for row in written:
        hashed, salt = stored[row["name"]]
        assert hashed == seed.password_hash(row["password"], salt)


def test_a_user_is_disabled_though_redis_is_down_and_the_phone_is_forgotten_when_it_is_done_again(stack: Stack, opened: Opened) -> None:
    seed.user(stack, 1, "alice")
    users = Users(opened(CacheConnectTimeout=1, CacheTimeout=1))
    with ProxyProcess(stack, {"CacheConnectTimeout": 1}) as proxy, proxy.client() as client:
        assert client.login("alice").result_code == 0
        stack.redis_server.kill()
        with pytest.raises(StoreError, match="'alice' is disabled and cannot log in, but the phone still gets pushes"):
            users.disable(1)
        assert users.get(1).status == "disabled"
        assert client.login("alice").result_code == 1
    stack.redis_server.start()
    seed.redis_key(stack, "device_1", "ios:phone")
    seed.redis_key(stack, "device_phone", "1")
    users.disable(1)
    with stack.redis("token") as redis:
        assert (redis.get("device_1"), redis.get("device_phone")) == (None, "")
