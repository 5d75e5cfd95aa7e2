"""``dbproxy-admin groups``: what is typed, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbproxy.admin.cli import main
from dbproxy.testing import Stack

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "小明", "dave"], groups={9: [1, 2, 3]})]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command, with a group of arguments; returns the exit code and what was printed."""
    config = str(stack.write_config(overrides={"AdminDataDir": stack.new_directory("admin")}))

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["--config", config, "groups", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def of(run: Run, *arguments: object) -> Any:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_the_life_of_a_group(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeff小明\r\n\r\n  4 \r\n".encode())
    created = of(run, "create", "组", "--creator", "alice", "--members", "bob, 2，", "--members-from", file, "--temporary")
    group = created["group"]["group_id"]
    assert (created["changed"], created["group"]["kind"], created["group"]["creator"]) == ([1, 2, 3, 4], "temporary", "alice")
    assert of(run, "rename", group, "新")["group"]["name"] == "新"
    assert of(run, "transfer", group, "小明")["group"]["creator"] == "小明"
    assert of(run, "members", "remove", group, "alice", "bob")["changed"] == [1, 2]
    assert of(run, "members", "add", group, "1")["changed"] == [1]
    assert [member["name"] for member in of(run, "members", "list", group)["entries"]] == ["alice", "小明", "dave"]
    assert of(run, "show", group)["version"] == 5
    assert of(run, "dismiss", group)["changed"] == [1, 3, 4]
    assert [entry["status"] for entry in of(run, "list")["entries"]] == ["active", "dismissed"]


def test_what_is_printed(run: Run, stack: Stack) -> None:
    stack.rows("update IMGroup set lastChated=0,name='a\x1b[31m'")
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert out == (
        "id  name       kind    creator  members  status  last message\n 9  a\\x1b[31m  normal  alice          3  active  never\n"
    )
    code, out, err = run("members", "list", 9, "--limit", 2)
    assert out.splitlines()[1].startswith(" 1  alice  Alice  20")
    assert err == "next page: --after 2\n"
    assert run("members", "list", 9, "--after", 2)[1].splitlines()[1].startswith(" 3  小明  小明  20")
    code, out, _ = run("members", "add", 9, "dave", "--dry-run")
    assert out.splitlines()[0] == "1 user (4) would be added"
    code, out, _ = run("members", "add", 9, "dave")
    assert out.splitlines()[:6] == [
        *("1 user (4) added", "id:           9", "name:         a\\x1b[31m", "kind:         normal", "status:       active"),
        "creator:      alice (1)",
    ]
    assert out.splitlines()[-1] == "note: HttpMsgServer is off: clients that are online are not told; they see it when they log in again"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["show", 77], 1, "dbproxy-admin: there is no group 77"),
        (["create", "x", "--creator", "eve"], 1, "there is no user with this id or login name: 'eve'"),
        (["create", "x", "--creator", "1", "--members-from", "/nowhere/users"], 1, "/nowhere/users cannot be read: No such file"),
        (["members", "add", 9], 1, "no users are given"),
        (["members", "remove", 9, "alice"], 1, "transfer the group first"),
        (["transfer", 9, "dave"], 1, "is not in group 9"),
        (["rename", 9, " "], 1, "the name is empty"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(run: Run, stack: Stack, arguments: list[object], code: int, text: str) -> None:
    before = stack.snapshot()
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert text in err
    assert stack.snapshot() == before


def test_a_file_that_is_no_list_of_users(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes("alice\n小明\n".encode("gbk"))
    assert f"{file}, line 2: not UTF-8" in run("members", "add", 9, "--members-from", file)[2]
    with file.open("wb") as stream:
        stream.truncate(9 << 20)
    assert f"{file} is longer than 8 MiB" in run("members", "add", 9, "--members-from", file)[2]
