"""The pages of departments: the tree, and how it is changed."""

from __future__ import annotations

import re

import pytest
from admin_pages import RIGHT_TO_LEFT, fill, hidden, text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Role
from dbproxy.testing import Stack, seed


@pytest.fixture
def operator(admin_app: AdminApp, stack: Stack) -> Visitor:
    fill(stack)
    return admin_app.visitor(Role.OPERATOR)


def departments(stack: Stack) -> dict[str, tuple[object, object, object]]:
    rows = stack.rows("select * from IMDepart order by id")
    return {str(row["departName"]): (row["parentId"], row["priority"], row["status"]) for row in rows}


def test_the_tree_shows_what_is_below_what(operator: Visitor) -> None:
    page = operator.get("/departments").text
    nested = re.sub(r"\s+", "", re.sub(r"<(?!/?(ul|details)\b)[^>]*>", "", page[page.index('<ul class="tree"') : page.index("</section>")]))
    assert nested.count("<detailsopen>") == 2
    assert nested.index("Engineering") < nested.index("<detailsopen>") < nested.index("scriptgt") if "scriptgt" in nested else True
    assert nested.index("<detailsopen>") < nested.index("eman") < nested.index("</details>")
    assert "3 users" in text_of(operator.get("/departments"))


def test_a_department_is_added_below_another(operator: Visitor, stack: Stack) -> None:
    assert 'value="2" selected' in operator.get("/departments/add?parent=2").text
    answer = operator.post("/departments/add", {"name": "研发 🀄", "parent_id": "2", "priority": "7"})
    assert answer.location == "/departments"
    assert departments(stack)["研发 🀄"] == (2, 7, 0)
    assert "The department 研发 🀄 was added." in text_of(operator.get("/departments"))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "Engineering", "parent_id": "0", "priority": "0"}, "has the name 'Engineering'"),
        ({"name": "", "parent_id": "0", "priority": "0"}, "is empty"),
        ({"name": "a/b", "parent_id": "0", "priority": "0"}, "separates the names in a path"),
        ({"name": "New", "parent_id": "77", "priority": "0"}, "there is no department with the id 77"),
        ({"name": "New", "parent_id": "0", "priority": "-1"}, "the priority is '-1'"),
        ({"name": "New", "parent_id": "0", "priority": "4000000000"}, "the priority is 4000000000"),
    ],
)
def test_what_is_not_accepted_is_said_and_changes_nothing(operator: Visitor, stack: Stack, form: dict[str, str], said: str) -> None:
    before = stack.snapshot()
    answer = operator.post("/departments/add", form)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert stack.snapshot() == before


def test_a_department_is_renamed_and_moved_at_once(operator: Visitor, stack: Stack) -> None:
    made_with = hidden(operator, "/departments/3/edit")
    answer = operator.post("/departments/3/edit", made_with | {"name": "Sales", "parent_id": "0", "priority": "5"})
    assert answer.location == "/departments"
    assert departments(stack)["Sales"] == (0, 5, 0)
    assert RIGHT_TO_LEFT not in departments(stack)


def test_a_department_cannot_be_put_below_itself(operator: Visitor, stack: Stack) -> None:
    before = departments(stack)
    answer = operator.post(
        "/departments/1/edit", hidden(operator, "/departments/1/edit") | {"name": "New", "parent_id": "3", "priority": "1"}
    )
    assert answer.status_code == 400
    assert "cannot be moved below itself" in text_of(answer)
    assert departments(stack) == before  # not renamed either


def test_of_two_operators_the_second_is_shown_what_the_first_has_saved(operator: Visitor, stack: Stack) -> None:
    first, second = hidden(operator, "/departments/1/edit"), hidden(operator, "/departments/1/edit")
    form = {"name": "Engineering", "parent_id": "0", "priority": "1"}
    assert operator.post("/departments/1/edit", form | first | {"name": "Technology"}).status_code == 303
    conflict = operator.post("/departments/1/edit", form | second | {"priority": "9"})
    assert conflict.status_code == 409
    assert "Stored now Name Technology" in text_of(conflict)
    assert departments(stack)["Technology"] == (0, 1, 0)


def test_a_department_with_users_is_removed_when_they_go_elsewhere(operator: Visitor, stack: Stack) -> None:
    seed.department(stack, 4, "Empty")
    seed.user(stack, 20, depart_id=4)
    refused = operator.post("/departments/4/remove", {"move_users_to": "0"})
    assert refused.status_code == 400
    assert "has users: 1" in text_of(refused)
    assert departments(stack)["Empty"][2] == 0
    assert operator.post("/departments/4/remove", {"move_users_to": "3"}).status_code == 303
    assert departments(stack)["Empty"][2] == 1
    assert stack.rows("select departId from IMUser where id=20") == [{"departId": 3}]


def test_a_department_with_others_below_it_is_not_removed(operator: Visitor, stack: Stack) -> None:
    before = stack.snapshot()
    answer = operator.post("/departments/1/remove", {"move_users_to": "3"})
    assert answer.status_code == 400
    assert "has departments below it: 1" in text_of(answer)
    assert stack.snapshot() == before
