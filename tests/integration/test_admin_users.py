"""dbproxy-admin: users are added, changed, disabled and found; clients of a running proxy hear of it, and names stay different."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.installation import Installation
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.waiting import poll

T0 = seed.T0


@pytest.fixture
def users(administration: Administration) -> Users:
    return Users(administration)


@pytest.fixture
def department(stack: Stack) -> int:
    return seed.department(stack, 1, "Sales")


def waiting(stack: Stack) -> int:
    """How many transactions are waiting for locks of rows."""
    return int(str(stack.rows("show global status like 'Innodb_row_lock_current_waits'")[0]["Value"]))


def user_row(stack: Stack, user_id: int) -> dict[str, object]:
    return stack.rows("select * from IMUser where id=%s", (user_id,))[0]


@pytest.mark.usefixtures("department")
def test_an_added_user_logs_in_with_the_password_and_is_listed(dbproxy_client: Client, stack: Stack, users: Users) -> None:
    before = dbproxy_client.all_users(0).latest_update_time
    saved = users.add(NewUser("alice", nick="爱丽丝😀", sex=1, email="alice@example.com", phone="13800000001"), "secret-1")
    assert (saved.name, saved.password) == ("alice", None)
    reply = dbproxy_client.login("alice", "secret-1")
    assert (reply.result_code, reply.user_info.user_id, reply.user_info.user_nick_name) == (0, saved.user_id, "爱丽丝😀")
    assert dbproxy_client.login("alice", "secret-2").result_code == 1
    (listed,) = dbproxy_client.all_users(before).user_list
    assert (listed.user_id, listed.department_id, listed.user_domain, listed.user_gender) == (saved.user_id, 1, "alice", 1)
    row = user_row(stack, saved.user_id)
    assert re.fullmatch("[a-zA-Z0-9]{4}", str(row["salt"]))
    assert row["password"] == seed.password_hash("secret-1", str(row["salt"]))
    with stack.redis() as redis:
        assert int(redis.get("total_user_update") or 0) == row["updated"]


@pytest.mark.usefixtures("department")
def test_a_generated_password_is_shown_once_and_is_in_no_log(dbproxy_client: Client, users: Users, administration: Administration) -> None:
    saved = users.add(NewUser("bob"))
    assert saved.password is not None
    assert dbproxy_client.login("bob", saved.password).result_code == 0
    changed = users.set_password(saved.user_id)
    assert changed.password not in (None, saved.password)
    assert dbproxy_client.login("bob", saved.password).result_code == 1
    assert dbproxy_client.login("bob", str(changed.password)).result_code == 0
    log = administration.log.path.read_text()
    assert "users.add" in log
    assert saved.password not in log
    assert str(changed.password) not in log


@pytest.mark.data(users=["alice"])
def test_a_disabled_user_cannot_log_in_and_gets_no_pushes_until_enabled(
    dbproxy_client: Client, stack: Stack, users: Users, department: int
) -> None:
    dbproxy_client.set_device_token(1, "phone-of-alice")
    latest = dbproxy_client.all_users(0).latest_update_time
    assert dbproxy_client.login("alice", "123456").result_code == 0
    assert users.disable(1).status == "disabled"
    assert dbproxy_client.login("alice", "123456").result_code == 1
    changed = dbproxy_client.all_users(latest)
    assert [(user.user_id, user.status) for user in changed.user_list] == [(1, 3)]
    assert list(dbproxy_client.all_users(0).user_list) == []
    assert list(dbproxy_client.device_tokens([1]).user_token_info) == []
    with stack.redis("token") as redis:
        assert redis.get("device_phone-of-alice") == ""
        assert redis.get("device_1") is None
    users.disable(1)  # may be repeated
    assert users.enable(1).status == "active"
    assert dbproxy_client.login("alice", "123456").result_code == 0
    assert [user.status for user in dbproxy_client.all_users(changed.latest_update_time).user_list] == [0]


@pytest.mark.data(users=["alice", "bob"])
def test_changes_reach_clients_that_ask_for_what_is_new(dbproxy_client: Client, stack: Stack, users: Users, department: int) -> None:
    seed.department(stack, 2, "研发")
    latest = dbproxy_client.all_users(0).latest_update_time
    details = users.edit(2, {"nick": "Bobby", "department_id": 2, "sign_info": "在路上", "sex": 0})
    assert (details.nick, details.department, details.sign_info, details.groups) == ("Bobby", "研发", "在路上", 0)
    assert [user.user_nick_name for user in dbproxy_client.all_users(latest).user_list if user.user_id == 2] == ["Bobby"]
    users.edit(2, {"name": "robert"})
    assert dbproxy_client.login("bob", "123456").result_code == 1
    assert dbproxy_client.login("robert", "123456").result_code == 0


@pytest.mark.data(users=["alice"])
def test_what_has_the_value_already_is_not_written(stack: Stack, users: Users, department: int) -> None:
    assert users.edit(1, {"nick": "Alice", "sex": 1}).updated == T0
    users.edit(1, {"nick": "Al"})
    assert int(str(user_row(stack, 1)["updated"])) > T0


@pytest.mark.data(users=["alice", "bob"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "bob"}, "taken by the user with the id 2"),
        ({"name": ""}, "is empty"),
        ({"name": " carol"}, "begins or ends with a blank"),
        ({"name": "a\nb"}, "control character U\\+000A"),
        ({"name": "x" * 33}, "33 characters; at most 32"),
        ({"nick": "\ud800"}, "no valid text"),
        ({"phone": "1.38001E+10"}, "accepted are digits"),
        ({"phone": "123456789012"}, "at most 11"),
        ({"email": "nobody"}, "accepted is one like"),
        ({"sign_info": "字" * 43}, "129 bytes in UTF-8; at most 128"),
        ({"sex": 2}, "accepted are 0 \\(female\\) and 1 \\(male\\)"),
        ({"department_id": 0}, "accepted is the id"),
        ({"password": "x"}, "has no field"),
    ],
)
def test_refused_values_change_nothing(stack: Stack, users: Users, department: int, change: dict[str, str | int], said: str) -> None:
    before = user_row(stack, 1)
    with pytest.raises(RefusedError, match=said):
        users.edit(1, change)
    assert user_row(stack, 1) == before


@pytest.mark.data(users=["alice"])
def test_unknown_users_and_departments_are_said_to_be_so(users: Users, department: int) -> None:
    with pytest.raises(NotFoundError, match="no department with the id 9"):
        users.edit(1, {"department_id": 9})
    with pytest.raises(NotFoundError, match="no department with the id 9"):
        users.add(NewUser("x", department_id=9))
    calls: list[Callable[[], object]] = [
        lambda: users.get(7),
        lambda: users.edit(7, {"nick": "x"}),
        lambda: users.set_password(7),
        lambda: users.disable(7),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="no user with the id 7"):
            call()
    with pytest.raises(NotFoundError, match="no user with the name 'nobody'"):
        users.get("nobody")


def test_a_user_needs_a_department(stack: Stack, users: Users) -> None:
    with pytest.raises(RefusedError, match="there is no department yet"):
        users.add(NewUser("alice"))
    seed.department(stack, 5, "A")
    assert users.get(users.add(NewUser("alice")).user_id).department_id == 5
    seed.department(stack, 6, "B")
    with pytest.raises(RefusedError, match="no department is given; there are 2"):
        users.add(NewUser("bob"))


@pytest.mark.parametrize("password", ["short", "x" * 65, "tab\tulator"])
def test_refused_passwords_are_not_repeated_in_the_error(users: Users, department: int, password: str) -> None:
    with pytest.raises(RefusedError) as raised:
        users.add(NewUser("alice"), password)
    assert password not in str(raised.value)
    assert list(users.find().entries) == []


@pytest.mark.data(users=["alice"])
def test_a_dry_run_changes_nothing_but_finds_what_would_be_refused(
    stack: Stack, users: Users, department: int, administration: Administration
) -> None:
    before = stack.snapshot()
    assert users.add(NewUser("bob"), dry_run=True).user_id == 0
    assert users.edit(1, {"nick": "Al"}, dry_run=True).nick == "Al"
    assert users.disable(1, dry_run=True).status == "disabled"
    assert users.set_password(1, dry_run=True).password is None
    with pytest.raises(RefusedError, match="taken"):
        users.add(NewUser("alice"), dry_run=True)
    assert stack.snapshot() == before
    assert not administration.log.path.exists()


@pytest.mark.usefixtures("department")
def test_names_that_are_equal_in_the_collation_are_taken(stack: Stack, users: Users, administration: Administration) -> None:
    users.add(NewUser("Alice"))
    users.add(NewUser("alice"))  # the stock collation is binary
    stack.rows("alter table IMUser modify name varchar(32) character set utf8mb4 collate utf8mb4_unicode_ci not null")
    try:
        with Installation(administration.installation.config) as installation:  # one that has not read the columns yet
            fresh = Users(Administration(installation, administration.actor, administration.log))
            with pytest.raises(RefusedError, match="is taken"):
                fresh.add(NewUser("ALICE"))
            assert fresh.get("aLiCe").user_id == 2
            assert users.find("ALICE").entries == fresh.find("alice").entries
        stack.rows("alter table IMUser modify name varchar(32) character set utf8 collate utf8_general_ci not null")
        with Installation(administration.installation.config) as installation:
            fresh = Users(Administration(installation, administration.actor, administration.log))
            fresh.add(NewUser("小明"))
            for name, said in (("小明", "is taken"), ("😀", "above U\\+FFFF")):
                with pytest.raises(RefusedError, match=said):
                    fresh.add(NewUser(name))
    finally:
        stack.rows("alter table IMUser modify name varchar(32) character set utf8mb4 collate utf8mb4_bin not null default ''")


@pytest.mark.usefixtures("department")
@pytest.mark.watchdog(240)
def test_operators_who_add_the_same_names_at_once_add_each_once(stack: Stack, users: Users) -> None:
    names = [f"user{number}" for number in range(15)]
    refused: list[str] = []

    def add_all() -> None:
        for name in names:
            try:
                users.add(NewUser(name), "123456")
            except RefusedError:
                refused.append(name)

    threads = [threading.Thread(target=add_all, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert sorted(str(row["name"]) for row in stack.rows("select name from IMUser")) == sorted(names)
    assert len(refused) == 3 * len(names)


@pytest.mark.data(users=["alice", "bob", "carol", "dave"])
def test_users_are_found_page_by_page_and_by_text(stack: Stack, users: Users, department: int) -> None:
    stack.rows("update IMUser set nick='100%_',email='x@y.z' where id=2")
    stack.rows("update IMUser set status=3 where id=3")
    stack.rows("update IMUser set nick='笑😀',phone='' where id=4")
    page = users.find(limit=3)
    assert ([row.user_id for row in page.entries], page.following) == ([1, 2, 3], 3)
    page = users.find(limit=3, after=page.following)
    assert ([row.user_id for row in page.entries], page.following) == ([4], None)

    def found(text: str = "", **which: object) -> list[int]:
        return [row.user_id for row in users.find(text, **which).entries]  # type: ignore[arg-type]

    assert found("ALI") == [1]
    assert found("100%") == [2]
    assert found("%") == [2]
    assert found("_") == [2]
    assert found("😀") == [4]
    assert found("😁") == []
    assert found("4") == [4]
    assert found("example.com") == [1, 3, 4]
    assert found(status="disabled") == [3]
    assert found(status="active") == [1, 2, 4]
    assert found(department_id=2) == []
    for call in (lambda: found("\udcff"), lambda: users.get("\udcff")):
        with pytest.raises(RefusedError, match="is no valid text"):
            call()
    with pytest.raises(RefusedError, match="accepted are active, disabled, other"):
        users.find(status="gone")


@pytest.mark.data(users=["alice"])
def test_a_change_is_not_dated_before_the_last_one(dbproxy_client: Client, stack: Stack, users: Users, department: int) -> None:
    """Another host, whose clock is ahead, has changed a user, and a client has seen that."""
    ahead = int(time.time()) + 600
    stack.rows("update IMUser set updated=%s", (ahead,))
    seed.redis_key(stack, "total_user_update", ahead)
    latest = dbproxy_client.all_users(0).latest_update_time
    saved = users.add(NewUser("bob"))
    assert saved.user_id in {user.user_id for user in dbproxy_client.all_users(latest).user_list}


@pytest.mark.data(users=["alice", "bob"])
@pytest.mark.parametrize(
    ("change", "waits_for"),
    [
        (lambda users: users.edit(1, {"nick": "Al"}), "select 1 from IMUser where id=1 for update"),
        (lambda users: users.add(NewUser("carol")), "select 1 from IMUser where name='carol' for update"),
    ],
    ids=["edit", "add"],
)
def test_who_has_asked_while_a_change_was_being_committed_still_hears_of_it(
    dbproxy_client: Client, stack: Stack, users: Users, department: int, change: Callable[[Users], object], waits_for: str
) -> None:
    """It takes until a later second, in which somebody else changes something."""
    with contextlib.closing(stack.mysql()) as slow, slow.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        slow.begin()
        cursor.execute(waits_for)
        changing = pool.submit(change, users)
        assert poll(lambda: waiting(stack), bool)
        began = int(time.time())
        poll(lambda: int(time.time()), lambda now: now > began)
        dbproxy_client.change_sign_info(2, "meanwhile")
        latest = dbproxy_client.all_users(0).latest_update_time
        slow.rollback()
        changing.result()
    heard = {(user.user_real_name, user.user_nick_name) for user in dbproxy_client.all_users(latest).user_list}
    assert heard >= {("bob", "Bob")}
    assert heard & {("alice", "Al"), ("carol", "carol")}


@pytest.mark.data(users=["alice"])
def test_every_change_is_in_the_audit_log_refused_ones_too(users: Users, department: int, administration: Administration) -> None:
    users.edit(1, {"nick": "Al"})
    users.disable(1)
    with pytest.raises(RefusedError):
        users.add(NewUser("alice"))
    lines = [json.loads(line) for line in administration.log.path.read_text().splitlines()]
    assert [(line["action"], line["target"], line["outcome"] == "ok") for line in lines] == [
        ("users.edit", "1", True),
        ("users.disable", "1", True),
        ("users.add", "alice", False),
    ]
    assert lines[0]["details"]["changes"] == ["nick: Alice → Al"]


def test_the_client_sends_what_is_stored_salted(users: Users, department: int, stack: Stack) -> None:
    saved = users.add(NewUser("alice"), "123456")
    row = user_row(stack, saved.user_id)
    digest = hashlib.md5(b"123456").hexdigest()
    assert row["password"] == hashlib.md5((digest + str(row["salt"])).encode()).hexdigest()
