"""The pages of users: what they show, change and refuse."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
from admin_pages import CONTROL, QUOTES, SCRIPT, fill, hidden, text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Role
from dbproxy.testing import Stack, seed

FIELDS = {
    "name": "dora",
    "nick": "Dora",
    "department_id": "1",
    "sex": "1",
    "email": "dora@example.com",
    "phone": "13800000000",
    "domain": "dora",
    "avatar": "",
    "sign_info": "",
}


@pytest.fixture
def operator(admin_app: AdminApp, stack: Stack) -> Visitor:
    fill(stack)
    return admin_app.visitor(Role.OPERATOR)


def row(stack: Stack, user_id: int) -> dict[str, object]:
    return stack.rows("select * from IMUser where id=%s", (user_id,))[0]


def test_a_list_is_paged_and_filtered(admin_app: AdminApp, stack: Stack) -> None:
    seed.department(stack, 1, "Engineering")
    seed.department(stack, 2, "Sales")
    seed.users(stack, *(f"person{number:03}" for number in range(1, 61)))
    seed.user(stack, 61, "zoe", depart_id=2, status=3)
    visitor = admin_app.visitor(Role.VIEWER)
    first = visitor.get("/users").text
    assert "person050" in first
    assert "person051" not in first
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    second = visitor.get(following).text
    assert "person051" in second
    assert 'rel="next"' not in second
    assert re.findall(r"/users/(\d+)\"", visitor.get("/users?text=PERSON007").text) == ["7"]
    assert re.findall(r"/users/(\d+)\"", visitor.get("/users?department=2").text) == ["61"]
    assert re.findall(r"/users/(\d+)\"", visitor.get("/users?status=disabled").text) == ["61"]
    assert "No user fits." in visitor.get("/users?text=100%25").text


def test_filters_stay_on_the_next_page(admin_app: AdminApp, stack: Stack) -> None:
    seed.department(stack, 1, "Engineering")
    seed.users(stack, *(f"a&b{number:03}" for number in range(1, 61)))
    visitor = admin_app.visitor(Role.VIEWER)
    page = visitor.get("/users", query_string={"text": "a&b", "status": "active", "department": "1"}).text
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', page)[0])
    assert len(re.findall(r"/users/(\d+)\"", visitor.get(following).text)) == 10


@pytest.mark.parametrize("address", ["/users?after=abc", "/users?department=99999999999", "/users?status=nobody", "/users?after=-1"])
def test_an_address_with_nonsense_is_refused(operator: Visitor, address: str) -> None:
    assert operator.get(address).status_code == 400


@pytest.mark.parametrize("address", ["/users/424242", "/users/424242/edit", "/users/424242/disable", "/users/4294967296", "/users/x"])
def test_a_user_who_does_not_exist_is_not_found(operator: Visitor, address: str) -> None:
    assert operator.get(address).status_code == 404


def test_an_added_user_can_log_in_with_the_password_that_is_shown_once(operator: Visitor, stack: Stack, admin_app: AdminApp) -> None:
    answer = operator.post("/users/add", FIELDS | {"how": "generated"})
    assert answer.status_code == 200
    password = html.unescape(re.findall(r'id="password">([^<]+)<', answer.text)[0])
    stored = stack.rows("select * from IMUser where name='dora'")[0]
    assert stored["password"] == seed.password_hash(password, str(stored["salt"]))
    assert (stored["nick"], stored["departId"], stored["sex"], stored["email"]) == ("Dora", 1, 1, "dora@example.com")
    assert password not in admin_app.log.path.read_text(encoding="utf-8")
    assert password not in operator.get(f"/users/{stored['id']}").text


def test_a_password_that_is_typed_has_to_be_typed_twice(operator: Visitor, stack: Stack) -> None:
    typed = FIELDS | {"how": "typed", "password": " a long pass word ", "repeated": "a long pass word"}
    answer = operator.post("/users/add", typed)
    assert answer.status_code == 400
    assert "The two passwords are not the same" in answer.text
    assert "a long pass word" not in answer.text
    assert 'value="dora@example.com"' in answer.text  # what was typed is still there
    assert operator.post("/users/add", typed | {"repeated": " a long pass word "}).status_code == 303
    stored = stack.rows("select * from IMUser where name='dora'")[0]
    assert stored["password"] == seed.password_hash(" a long pass word ", str(stored["salt"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "alice"}, "is taken by the user with the id 1"),
        ({"name": ""}, "the name is empty"),
        ({"name": "x" * 400}, "characters; at most"),
        ({"name": "a\x00b"}, "control character U+0000"),
        ({"department_id": "99"}, "there is no department with the id 99"),
        ({"department_id": "nine"}, "the department is 'nine'"),
        ({"sex": "7"}, "the sex is 7"),
        ({"email": "nobody"}, "the email is 'nobody'"),
        ({"sign_info": "é" * 65}, "bytes in UTF-8"),
    ],
)
def test_what_is_not_accepted_is_said_beside_the_form(operator: Visitor, stack: Stack, change: dict[str, str], said: str) -> None:
    before = stack.snapshot()
    answer = operator.post("/users/add", FIELDS | {"how": "generated"} | change)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert stack.snapshot() == before


def test_what_is_not_accepted_is_said_in_chinese_too(operator: Visitor, admin_app: AdminApp) -> None:
    visitor = admin_app.visitor(Role.OPERATOR, name="other", language="zh")
    said = text_of(visitor.post("/users/add", FIELDS | {"how": "generated", "name": "alice"}))
    assert "用户名 'alice' 已被编号为 1 的用户使用" in said
    assert "没有编号为 77 的用户" in text_of(visitor.get("/users/77"))


def test_a_change_is_stored_and_nothing_else_is_touched(operator: Visitor, stack: Stack) -> None:
    before = row(stack, 2)
    made_with = hidden(operator, "/users/2/edit")
    fields = {**FIELDS, "name": "bob", "nick": "Robert 🙂", "email": "bob@example.com", "phone": "13800000002", "domain": "bob"}
    assert operator.post("/users/2/edit", fields | made_with).location == "/users/2"
    after = row(stack, 2)
    assert {name for name in after if after[name] != before[name]} == {"nick", "updated"}
    assert after["nick"] == "Robert 🙂"


def test_a_form_that_is_sent_back_untouched_changes_nothing(operator: Visitor, stack: Stack) -> None:
    """Names that would not be accepted today are left as they are."""
    for user_id in range(1, 9):
        page = operator.get(f"/users/{user_id}/edit").text
        fields = {name: html.unescape(value) for name, value in re.findall(r'<input id="field-(\w+)"[^>]* value="([^"]*)"', page)}
        fields = {name: value.replace("\0", "\ufffd") for name, value in fields.items()}  # as browsers do
        fields |= {name: "" for name in FIELDS if name not in fields}
        chosen = {
            name: re.findall(r'<option value="(\d+)" selected', part)[0]
            for name, part in re.findall(r'<select id="field-(\w+)"(.*?)</select>', page, re.DOTALL)
        }
        before = row(stack, user_id)
        answer = operator.post(f"/users/{user_id}/edit", fields | chosen | hidden(operator, f"/users/{user_id}/edit"))
        assert answer.status_code == 303, text_of(answer)
        assert row(stack, user_id) == before


def test_of_two_operators_the_second_is_shown_what_the_first_has_saved(operator: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    other = admin_app.visitor(Role.OPERATOR, name="other")
    fields = {**FIELDS, "name": "bob", "nick": "Bob", "email": "bob@example.com", "phone": "13800000002", "domain": "bob"}
    first, second = hidden(operator, "/users/2/edit"), hidden(other, "/users/2/edit")
    assert operator.post("/users/2/edit", fields | first | {"nick": "Bobby"}).status_code == 303
    conflict = other.post("/users/2/edit", fields | second | {"phone": "999"})
    assert conflict.status_code == 409
    said = text_of(conflict)
    assert "Somebody else has changed this user since you opened the form. Nothing was saved." in said
    assert re.search(r"Nick Bobby Bob ", said)  # stored now, and what the second form has
    assert row(stack, 2)["phone"] == "13800000002"
    again = {name: html.unescape(value) for name, value in re.findall(r'name="(made_with)" value="([^"]*)"', conflict.text)}
    assert other.post("/users/2/edit", fields | again | {"nick": "Bobby", "phone": "999"}).status_code == 303
    assert (row(stack, 2)["nick"], row(stack, 2)["phone"]) == ("Bobby", "999")


def test_a_change_within_the_same_second_is_a_conflict_too(operator: Visitor, stack: Stack) -> None:
    made_with = hidden(operator, "/users/2/edit")
    stack.rows("update IMUser set nick='quick' where id=2")  # updated stays what it is
    assert operator.post("/users/2/edit", FIELDS | made_with).status_code == 409


def test_a_disabled_user_is_told_apart_and_can_be_enabled(operator: Visitor, stack: Stack) -> None:
    asked = text_of(operator.get("/users/1/disable"))
    assert "A client that is connected now stays so until it connects again" in asked
    assert row(stack, 1)["status"] == 0
    assert operator.post("/users/1/disable").location == "/users/1"
    assert row(stack, 1)["status"] == 3
    assert stack.redis("token").get("device_1") is None
    assert "disabled" in text_of(operator.get("/users/1"))
    operator.post("/users/1/enable", form="/users/1")
    assert row(stack, 1)["status"] == 0


def test_a_new_password_replaces_the_former_one(operator: Visitor, stack: Stack) -> None:
    answer = operator.post("/users/3/password", {"how": "generated"})
    password = html.unescape(re.findall(r'id="password">([^<]+)<', answer.text)[0])
    stored = row(stack, 3)
    assert stored["password"] == seed.password_hash(password, str(stored["salt"]))


def test_the_export_has_everybody_and_no_formulas(operator: Visitor, stack: Stack, admin_app: AdminApp) -> None:
    seed.user(stack, 20, "=cmd|' /C calc'!A0")
    answer = operator.get("/users/export.csv")
    assert answer.headers["Content-Disposition"] == "attachment; filename=users.csv"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))
    assert [found["id"] for found in rows] == [str(number) for number in (*range(1, 9), 20)]
    assert rows[0]["department"] == "Engineering"
    assert rows[8]["name"] == "'=cmd|' /C calc'!A0"
    assert admin_app.log.newest(1)[0][0]["action"] == "users.export"


@pytest.mark.parametrize("path", ["/users", "/users/4", "/users/5/edit", "/users/4/disable", "/users/4/password"])
def test_hostile_texts_stay_texts(operator: Visitor, path: str) -> None:
    page = operator.get(path).text
    assert "<script>window" not in page
    assert "<img" not in page
    assert QUOTES[:30] not in page
    if path == "/users":
        assert SCRIPT[:30] in html.unescape(page)
        assert CONTROL[:3] not in page  # shown as pictures
        assert "a␁b" in page
