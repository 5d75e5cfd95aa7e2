"""``dbproxy-admin users`` and ``departments`` on the command line: what is printed, and how the command ends."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import dbproxy
from dbproxy.admin.cli import main
from dbproxy.testing import Client, Stack, seed

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(stack: Stack, tmp_path: Path) -> Path:
    return stack.write_config(overrides={"AdminDataDir": tmp_path / "admin"})


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape")), encoding="utf-8"))
        status = main(["--config", str(config), *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def document(answer: tuple[int, str, str]) -> Any:
    status, out, err = answer
    assert (status, err) == (0, "")
    return json.loads(out)


def test_a_new_installation_gets_a_department_and_a_user_who_logs_in(dbproxy_client: Client, run: Run) -> None:
    status, _, err = run("users", "add", "alice", "-g")
    assert (status, "there is no department yet" in err) == (1, True)
    assert run("departments", "add", "总部") == (0, "the department 总部 is added with the id 1\n", "")
    status, out, err = run("users", "add", "alice", "-g", "--nick", "爱丽丝", "--sex", "female", "--department", "总部")
    assert (status, err) == (0, "")
    added, password = out.splitlines()
    assert added == "added the user alice with the id 1"
    assert dbproxy_client.login("alice", password.removeprefix("password: ")).result_code == 0
    assert run("users", "passwd", "alice", "--password-stdin", stdin="new-secret\n") == (0, "the password of alice is changed\n", "")
    assert dbproxy_client.login("alice", "new-secret").result_code == 0
    status, out, _ = run("users", "disable", "alice")
    assert (status, "alice is disabled" in out, "goes on until the client connects again" in out) == (0, True, True)
    assert dbproxy_client.login("alice", "new-secret").result_code == 1
    assert run("users", "enable", "alice")[:2] == (0, "alice is enabled\n")
    assert dbproxy_client.login("alice", "new-secret").result_code == 0


@pytest.mark.data(users=["alice", "bob", "carol"])
def test_lists_are_paged_and_filtered(stack: Stack, run: Run) -> None:
    seed.department(stack, 1, "销售")
    stack.rows("update IMUser set nick='x\u202ey\ny' where id=1")
    status, out, further = run("users", "list", "--limit", "2")
    lines = out.splitlines()
    assert (status, lines[0].split()) == (0, ["id", "name", "nick", "department", "email", "phone", "status"])
    assert lines[1].split()[:4] == ["1", "alice", "x\\u202ey\\ny", "销售"]
    assert further == "next page: --after 2\n"
    assert run("users", "list", "nobody") == (0, "no users\n", "")
    page = document(run("users", "list", "--after", "2", "--department", "销售", "--json"))
    assert ([entry["name"] for entry in page["entries"]], page["following"]) == (["carol"], None)
    assert [entry["name"] for entry in document(run("users", "list", "BOB", "--status", "active", "--json"))["entries"]] == ["bob"]
    shown = document(run("users", "show", "2", "--json"))
    assert (shown["name"], shown["department"], shown["sex"], shown["push_shield"]) == ("bob", "销售", 1, False)
    assert "department:  销售 (1)" in run("users", "show", "bob")[1]


@pytest.mark.data(users=["alice", "2", "carol"])
def test_a_number_that_could_be_an_id_and_a_name_is_asked_about(stack: Stack, run: Run) -> None:
    stack.rows("update IMUser set name='1' where id=3")
    assert document(run("users", "show", "2", "--json"))["user_id"] == 2
    status, _, err = run("users", "disable", "1")
    assert (status, "say id:ID or name:NAME: '1' (1 and 3)" in err) == (1, True)
    assert document(run("users", "show", "id:1", "--json"))["name"] == "alice"
    assert document(run("users", "show", "name:1", "--json"))["user_id"] == 3


@pytest.mark.data(users=["alice"])
def test_edits_and_their_dry_runs(stack: Stack, run: Run) -> None:
    seed.department(stack, 1, "A")
    seed.department(stack, 2, "B", parent_id=1)
    before = stack.snapshot()
    assert document(run("users", "edit", "alice", "--department", "A/B", "-n", "--json"))["department_id"] == 2
    assert document(run("users", "disable", "alice", "-n", "--json"))["status"] == "disabled"
    assert document(run("users", "add", "bob", "-n", "--department", "2", "--json")) == {"user_id": 0, "name": "bob", "password": None}
    assert run("users", "edit", "alice", "--nick", "A", "-n")[1].startswith("the user would be changed to:\nid: ")
    assert run("users", "passwd", "alice", "-n")[:2] == (0, "the password of alice would be changed\n")
    assert stack.snapshot() == before
    edited = document(run("users", "edit", "alice", "--department", "A/B", "--sign-info", "hi", "--name", "alicia", "--json"))
    assert (edited["department"], edited["sign_info"], edited["name"]) == ("B", "hi", "alicia")
    assert run("users", "edit", "alicia")[0] == 1
    status, _, err = run("users", "edit", "alicia", "--email", "x")
    assert (status, "accepted is one like" in err) == (1, True)


def test_departments_on_the_command_line(stack: Stack, run: Run) -> None:
    for name, *more in (("A",), ("B", "--priority", "5"), ("A1", "--parent", "A"), ("A2", "--parent", "1")):
        assert run("departments", "add", name, *more)[0] == 0
    seed.user(stack, 1, depart_id=3)
    assert run("departments", "tree")[1].splitlines() == [
        "id  department  priority  users",
        " 1  A                  0      0",
        " 3    A1               0      1",
        " 4    A2               0      0",
        " 2  B                  5      0",
    ]
    assert run("departments", "move", "A/A2", "--parent", "B", "--priority", "9")[1] == "the department A2 is moved\n"
    status, _, err = run("departments", "move", "B/A2")
    assert (status, "nothing is given" in err) == (1, True)
    assert run("departments", "rename", "B/A2", "B1")[1] == "the department B1 is renamed\n"
    status, _, err = run("departments", "remove", "A/A1")
    assert (status, "has users: 1" in err) == (1, True)
    assert run("departments", "remove", "A/A1", "--move-users-to", "B/B1", "-n")[1].splitlines() == [
        "the department A1 would be removed",
        "users that would be moved to the department 4: 1",
    ]
    assert run("departments", "remove", "A/A1", "--move-users-to", "B/B1")[0] == 0
    tree = document(run("departments", "tree", "--json"))
    assert [(node["name"], [(child["name"], child["users"], child["priority"]) for child in node["children"]]) for node in tree] == [
        ("A", []),
        ("B", [("B1", 1, 9)]),
    ]
    assert run("departments", "move", "B/B1", "--to-top")[0] == 0
    assert run("departments", "rename", "nowhere", "X")[0] == 1


def test_a_pipe_is_imported_as_a_file(stack: Stack, run: Run) -> None:
    seed.department(stack, 1)
    reading, writing = os.pipe()  # as a shell makes it for <(command)
    os.write(writing, b"name,password\nerin,secret-1\n")
    os.close(writing)
    try:
        status, out, err = run("users", "import", f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert (status, "users added: 1" in out, err) == (0, True, "")


def test_a_password_that_is_no_text_is_refused_and_not_shown(stack: Stack, run: Run) -> None:
    seed.users(stack, "alice")
    before = stack.snapshot()
    status, out, err = run("users", "passwd", "alice", "--password-stdin", stdin="secret-\udcff\n")
    assert (status, out, "is no text" in err, "secret" in err) == (1, "", True, False)
    assert stack.snapshot() == before


def test_import_and_export_of_files(dbproxy_client: Client, stack: Stack, run: Run, tmp_path: Path) -> None:
    seed.department(stack, 1, "A")
    source, passwords, refused = tmp_path / "users.csv", tmp_path / "passwords.csv", tmp_path / "refused.csv"
    source.write_bytes("用户名,昵称,部门\nalice,爱丽丝,\nbob,,没有\ncarol,,A/新\n".encode("gbk"))
    status, out, _ = run("users", "import", str(source), "--preview")
    assert (status, out.splitlines()[0]) == (0, "3 lines in gb18030, separated by the comma")
    assert "there is no department '没有'" in out
    status, _, err = run("users", "import", str(source))
    assert (status, "--passwords-to FILE" in err) == (1, True)
    arguments = ("users", "import", str(source), "--passwords-to", str(passwords), "--report", str(refused))
    status, out, _ = run(*arguments)
    assert (status, out.splitlines()[-2:]) == (*(1, ["users added: 1, lines refused: 2", f"passwords generated: 1, in {passwords}"]),)
    assert refused.read_text(encoding="utf-8-sig").splitlines()[1].startswith("3,bob,\"there is no department '没有'")
    name, password = passwords.read_text(encoding="utf-8-sig").splitlines()[1].split(",")
    assert dbproxy_client.login(name, password).result_code == 0
    status, _, err = run(*arguments)
    assert (status, "exists already" in err) == (1, True)
    status, out, _ = run("users", "import", str(source), "--create-departments", "--dry-run")
    assert out.splitlines()[-1].startswith("note: lines without a password are refused unless --passwords-to")
    assert (status, out.splitlines()[:2]) == (1, ["department would be added: 没有", "department would be added: A/新"])
    assert "users that would be added: 2, passwords that would be generated: 2, lines refused: 1" in out
    more = str(tmp_path / "more.csv")
    report = json.loads(run("users", "import", "-", "--passwords-to", more, "--json", stdin="name\ndave\n")[1])
    assert (report["added"], report["generated"], report["refused"]) == (1, 1, [])
    exported = tmp_path / "export.csv"
    assert run("users", "export", str(exported))[:2] == (0, f"users written to {exported}: 2\n")
    assert exported.stat().st_mode & 0o777 == 0o600
    assert [line.split(",")[1] for line in exported.read_text(encoding="utf-8-sig").splitlines()] == ["name", "alice", "dave"]
    assert run("users", "export", str(exported))[0] == 1
    assert run("users", "import", str(tmp_path / "missing.csv"))[0] == 1


def admin(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "dbproxy.admin", "--config", str(config), *arguments]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(dbproxy.__file__).parents[1])}


def test_an_export_to_a_pipe_is_plain_csv(stack: Stack, config: Path) -> None:
    seed.user(stack, 1, "小明")
    done = subprocess.run(admin(config, "users", "export", "-"), capture_output=True, env=ENVIRONMENT, timeout=100, check=True)
    header, row = done.stdout.decode().splitlines()
    assert (header.split(",")[:2], row.split(",")[:2]) == (["id", "name"], ["1", "小明"])


def test_an_export_to_a_pipe_is_refused_where_json_is_wanted(stack: Stack, run: Run) -> None:
    code, out, said = run("users", "export", "-", "--json")
    assert (code, out) == (1, "")
    assert "with --json give a FILE" in said


@pytest.mark.parametrize(("again", "status"), [("typed-secret", 0), ("another-one", 1)])
def test_a_password_is_asked_for_twice_at_the_terminal(dbproxy_client: Client, stack: Stack, config: Path, again: str, status: int) -> None:
    seed.department(stack, 1, "A")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        admin(config, "users", "add", "alice"), stdin=follower, stdout=follower, stderr=follower, env=ENVIRONMENT, start_new_session=True
    )
    os.close(follower)
    said = b""
    for prompt, answer in ((b"password for alice: ", "typed-secret"), (b"the same again: ", again)):
        deadline = time.monotonic() + 60
        while prompt not in said and time.monotonic() < deadline:
            said += os.read(leader, 1000)
        os.write(leader, f"{answer}\n".encode())
    try:
        while data := os.read(leader, 1000):
            said += data
    except OSError:  # the terminal ends with the process
        pass
    os.close(leader)
    assert process.wait(60) == status
    assert b"secret" not in said
    assert dbproxy_client.login("alice", "typed-secret").result_code == status


def test_without_a_terminal_no_password_is_invented(stack: Stack, run: Run) -> None:
    seed.department(stack, 1, "A")
    status, _, err = run("users", "add", "alice")
    assert (status, "use --generate-password or --password-stdin" in err) == (1, True)
    assert run("users", "add", "alice", "--password-stdin")[0] == 1
    assert stack.rows("select id from IMUser") == []


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_generated_password_that_cannot_be_printed_is_said(config: Path, stack: Stack, form: Sequence[str]) -> None:
    seed.department(stack, 1)
    command = [sys.executable, "-m", "dbproxy.admin", "--config", str(config), "users", "add", "alice", "-g", *form]
    environment = {**os.environ, "PYTHONPATH": str(Path(dbproxy.__file__).parents[1])}
    with Path("/dev/full").open("w") as nowhere:
        done = subprocess.run(command, stdout=nowhere, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 1
    assert "added the user alice with the id 1; but the password could not be printed" in done.stderr
    assert stack.rows("select name from IMUser") == [{"name": "alice"}]
