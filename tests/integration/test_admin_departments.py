"""dbproxy-admin: departments are added, renamed, moved and removed; clients hear of every change; the tree stays a tree."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, NotFoundError, RefusedError
from dbproxy.admin.people.departments import DepartmentNode, Departments
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.models.depart_writer import MAX_DEPTH
from dbproxy.testing import Client, Stack, seed


@pytest.fixture
def departments(administration: Administration) -> Departments:
    return Departments(administration)


def shape(nodes: tuple[DepartmentNode, ...]) -> list[object]:
    """Names with the number of their users, and what is below them."""
    return [(node.name, node.users, *([shape(node.children)] if node.children else [])) for node in nodes]


def test_clients_hear_of_every_change_even_within_one_second(dbproxy_client: Client, departments: Departments) -> None:
    first = departments.add("总部")
    reply = dbproxy_client.departments(0)
    assert [(found.dept_name, found.dept_status) for found in reply.dept_list] == [("总部", 0)]
    steps: list[tuple[Callable[[], object], list[tuple[int, str, int, int]]]] = [
        (lambda: departments.add("研发", first.department_id, 7), [(2, "研发", 1, 0)]),
        (lambda: departments.rename(2, "研发部"), [(2, "研发部", 1, 0)]),
        (lambda: departments.move(2, 0), [(2, "研发部", 0, 0)]),
        (lambda: departments.remove(2), [(2, "研发部", 0, 1)]),
    ]
    for step, expected in steps:
        latest = reply.latest_update_time
        step()
        reply = dbproxy_client.departments(latest)
        assert [(one.dept_id, one.dept_name, one.parent_dept_id, one.dept_status) for one in reply.dept_list] == expected
        assert reply.latest_update_time > latest


def test_the_tree_is_sorted_by_priority_and_counts_users_who_may_log_in(stack: Stack, departments: Departments) -> None:
    for department_id, name, parent_id, priority in ((1, "A", 0, 2), (2, "B", 0, 1), (3, "A1", 1, 0), (4, "A11", 3, 0)):
        seed.department(stack, department_id, name, parent_id=parent_id, priority=priority)
    seed.user(stack, 1, depart_id=3)
    seed.user(stack, 2, depart_id=3, status=3)
    assert shape(departments.tree()) == [("B", 0), ("A", 0, [("A1", 1, [("A11", 0)])])]


def test_a_broken_table_is_shown_completely(stack: Stack, departments: Departments) -> None:
    seed.department(stack, 1, "lost", parent_id=99)
    seed.department(stack, 2, "own parent", parent_id=2)
    seed.department(stack, 3, "round", parent_id=4)
    seed.department(stack, 4, "about", parent_id=3)
    seed.department(stack, 5, "removed", status=1)
    assert shape(departments.tree()) == [("lost", 0), ("own parent", 0), ("round", 0, [("about", 0)])]
    departments.move(3, 0)  # it can be mended
    assert shape(departments.tree()) == [("lost", 0), ("round", 0, [("about", 0)]), ("own parent", 0)]


def test_a_department_cannot_belong_to_itself(stack: Stack, departments: Departments) -> None:
    for department_id, parent_id in ((1, 0), (2, 1), (3, 2)):
        seed.department(stack, department_id, f"D{department_id}", parent_id=parent_id)
    before = stack.rows("select * from IMDepart")
    for parent_id in (1, 2, 3):
        with pytest.raises(RefusedError, match="cannot be moved below itself"):
            departments.move(1, parent_id)
    assert stack.rows("select * from IMDepart") == before
    assert departments.move(3, 1, 9).priority == 9


def test_the_tree_has_a_largest_depth(departments: Departments) -> None:
    parent_id = 0
    for number in range(MAX_DEPTH):
        parent_id = departments.add(f"level {number}", parent_id).department_id
    with pytest.raises(RefusedError, match=f"more than {MAX_DEPTH} levels"):
        departments.add("too deep", parent_id)
    other = departments.add("other")
    departments.add("below", other.department_id)
    with pytest.raises(RefusedError, match=f"more than {MAX_DEPTH} levels"):
        departments.move(other.department_id, parent_id - 1)


def test_a_department_with_users_or_departments_is_not_removed(stack: Stack, departments: Departments) -> None:
    seed.department(stack, 1, "A")
    seed.department(stack, 2, "B", parent_id=1)
    seed.user(stack, 1, depart_id=2, status=3)
    seed.user(stack, 2, depart_id=2)
    with pytest.raises(RefusedError, match="has departments below it: 1"):
        departments.remove(1)
    with pytest.raises(RefusedError, match="has departments below it: 1"):
        departments.remove(1, move_users_to=2)
    with pytest.raises(RefusedError, match="has users: 2, disabled ones included"):
        departments.remove(2)
    with pytest.raises(RefusedError, match="to the department itself"):
        departments.remove(2, move_users_to=2)
    with pytest.raises(NotFoundError, match="no department with the id 3"):
        departments.remove(2, move_users_to=3)
    assert {row["departId"] for row in stack.rows("select departId from IMUser")} == {2}


def test_users_are_moved_before_their_department_is_removed(dbproxy_client: Client, stack: Stack, departments: Departments) -> None:
    seed.department(stack, 1, "A")
    seed.department(stack, 2, "B")
    times = {"created": seed.T0, "updated": seed.T0}
    seed.insert(stack, "IMUser", [{"name": f"u{number}", "departId": 2, **times} for number in range(2500)])
    latest = dbproxy_client.all_users(0).latest_update_time
    before = stack.snapshot()
    assert departments.remove(2, move_users_to=1, dry_run=True).moved_users == 2500
    assert stack.snapshot() == before
    assert departments.remove(2, move_users_to=1).moved_users == 2500
    assert len(dbproxy_client.all_users(latest + 1).user_list) == 2500
    assert shape(departments.tree()) == [("A", 2500)]


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "is empty"), ("x" * 65, "at most 64"), ("a/b", "separates the names"), ("a\x00", "control character"), (" a", "blank")],
)
def test_names_that_are_not_accepted(stack: Stack, departments: Departments, name: str, said: str) -> None:
    seed.department(stack, 1, "A")
    calls: list[Callable[[], object]] = [lambda: departments.add(name), lambda: departments.rename(1, name)]
    for call in calls:
        with pytest.raises(RefusedError, match=said):
            call()
    assert [row["departName"] for row in stack.rows("select departName from IMDepart")] == ["A"]


def test_departments_of_one_parent_have_different_names(departments: Departments) -> None:
    departments.add("A")
    departments.add("B")
    departments.add("B", 1)
    calls: list[Callable[[], object]] = [
        lambda: departments.add("B"),
        lambda: departments.rename(1, "B"),
        lambda: departments.move(3, 0),
    ]
    for call in calls:
        with pytest.raises(RefusedError, match="has the name 'B'"):
            call()
    departments.remove(2)
    departments.add("B")  # the name of a removed one is free


def test_unknown_departments_and_priorities(departments: Departments) -> None:
    departments.add("A")
    calls: list[Callable[[], object]] = [
        lambda: departments.add("B", 9),
        lambda: departments.move(1, 9),
        lambda: departments.rename(9, "B"),
        lambda: departments.move(9, 0),
        lambda: departments.remove(9),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="no department with the id 9"):
            call()
    with pytest.raises(RefusedError, match="accepted are 0 to 2147483647"):
        departments.add("B", priority=-1)


def test_a_dry_run_changes_nothing(stack: Stack, departments: Departments) -> None:
    seed.department(stack, 1, "A")
    before = stack.snapshot()
    assert departments.add("B", dry_run=True).department_id == 0
    assert departments.rename(1, "C", dry_run=True).name == "C"
    assert departments.move(1, 0, 5, dry_run=True).priority == 5
    assert departments.remove(1, dry_run=True).name == "A"
    with pytest.raises(RefusedError):
        departments.add("A", dry_run=True)
    assert stack.snapshot() == before


@pytest.mark.watchdog(240)
def test_no_user_is_left_in_a_department_that_is_removed_at_the_same_time(administration: Administration, stack: Stack) -> None:
    seed.department(stack, 1, "stays")
    numbers = range(2, 22)
    for number in numbers:
        seed.department(stack, number, f"D{number}")
    failures: list[BaseException] = []

    def run(act: Callable[[int], object]) -> None:
        for number in numbers:
            try:
                act(number)
            except AdminError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

    users, departments = Users(administration), Departments(administration)
    actions: list[Callable[[int], object]] = [
        lambda number: users.add(NewUser(f"u{number}", department_id=number), "123456"),
        departments.remove,
        lambda number: departments.move(number, number + 1),
    ]
    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert failures == []
    existing = {row["id"] for row in stack.rows("select id from IMDepart where status=0")}
    assert {row["departId"] for row in stack.rows("select departId from IMUser")} <= existing
    assert {row["parentId"] for row in stack.rows("select parentId from IMDepart where status=0")} <= existing | {0}
