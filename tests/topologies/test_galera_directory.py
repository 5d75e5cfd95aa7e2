"""Users and departments that are changed on two nodes of a Galera cluster at once: names stay different, the tree stays a tree."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError
from dbproxy.admin.installation import Installation
from dbproxy.admin.people.departments import Departments
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.config import load_config
from dbproxy.testing import GaleraStack, seed

pytestmark = pytest.mark.watchdog(300)

ROUNDS = 25


@pytest.fixture
def operators(dbproxy_galera: GaleraStack, tmp_path: Path) -> Iterator[list[Administration]]:
    """One on each node."""
    dbproxy_galera.reset()
    with ExitStack() as exits:
        found = []
        for node in range(2):
            keys = dbproxy_galera.on(node, {"AdminDataDir": tmp_path / "admin"})
            installation = exits.enter_context(Installation(load_config(dbproxy_galera.write_config(overrides=keys))))
            found.append(Administration(installation, Actor(f"os:{node}", "x"), AuditLog(installation.data_directory)))
        yield found


def at_once(*actions: Callable[[int], object]) -> int:
    """Call each action with 0 to ``ROUNDS`` - 1, all at the same time; how often one was refused."""
    refused: list[str] = []
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(actions))

    def run(act: Callable[[int], object]) -> None:
        for number in range(ROUNDS):
            barrier.wait(200)
            try:
                act(number)
            except AdminError as error:
                refused.append(str(error))
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)

    threads = [threading.Thread(target=run, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(250)
    assert failures == []
    return len(refused)


def test_the_same_names_added_on_two_nodes_are_added_once(dbproxy_galera: GaleraStack, operators: list[Administration]) -> None:
    seed.department(dbproxy_galera, 1, "A")
    one, other = map(Users, operators)
    refused = at_once(
        lambda number: one.add(NewUser(f"user{number}"), "123456"),
        lambda number: other.add(NewUser(f"user{number}"), "654321"),
    )
    names = [row["name"] for row in dbproxy_galera.rows("select name from IMUser order by id")]
    assert sorted(map(str, names)) == sorted(f"user{number}" for number in range(ROUNDS))
    assert refused == ROUNDS


def test_no_user_is_added_to_a_department_that_another_node_removes(dbproxy_galera: GaleraStack, operators: list[Administration]) -> None:
    for number in range(ROUNDS):
        seed.department(dbproxy_galera, number + 1, f"D{number}")
    users, departments = Users(operators[0]), Departments(operators[1])
    refused = at_once(
        lambda number: users.add(NewUser(f"user{number}", department_id=number + 1), "123456"),
        lambda number: departments.remove(number + 1),
    )
    existing = {row["id"] for row in dbproxy_galera.rows("select id from IMDepart where status=0")}
    assert {row["departId"] for row in dbproxy_galera.rows("select departId from IMUser")} == existing
    assert refused == ROUNDS


def test_two_departments_are_not_put_below_each_other_on_two_nodes(dbproxy_galera: GaleraStack, operators: list[Administration]) -> None:
    for number in range(2 * ROUNDS):
        seed.department(dbproxy_galera, number + 1, f"D{number}")
    one, other = map(Departments, operators)
    refused = at_once(
        lambda number: one.move(2 * number + 1, 2 * number + 2),
        lambda number: other.move(2 * number + 2, 2 * number + 1),
    )
    assert refused == ROUNDS
    assert len(one.tree()) == ROUNDS
