"""The audit log of dbproxy-admin: what is written, what is not, and reading it from its end."""

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
from pathlib import Path

import pytest

from dbproxy.admin.audit_log import LONGEST_TEXT, MOST_DETAILS, Actor, AuditLog, command_line_actor
from dbproxy.admin.errors import AdminError, RefusedError

ACTOR = Actor("anna", "10.0.0.7")


def lines(log: AuditLog) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_who_did_what_when_and_from_where(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "admin")
    with log.recorded(ACTOR, "users.add", "小明", {"department": 3}) as details:
        details["user_id"] = 17
    (line,) = lines(log)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "actor": "anna",
        "origin": "10.0.0.7",
        "action": "users.add",
        "target": "小明",
        "outcome": "ok",
        "details": {"department": 3, "user_id": 17},
    }
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_what_failed_is_recorded_with_its_error_and_raised(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with pytest.raises(RefusedError), log.recorded(ACTOR, "users.add", "x"):
        raise RefusedError("name=x: taken")
    assert [line["outcome"] for line in lines(log)] == ["RefusedError: name=x: taken"]


def test_nothing_is_done_that_cannot_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("a file where the directory should be")
    done = []
    with pytest.raises(AdminError, match=r"audit log .* cannot be written"), AuditLog(tmp_path / "admin").recorded(ACTOR, "users.add", "x"):
        done.append(1)
    assert done == []


def test_what_was_done_when_the_disk_was_full_is_said_to_be_done(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.path.symlink_to("/dev/full")  # can be opened, not written
    with (
        pytest.raises(AdminError, match=r"^users\.add of x is done, but the audit log .* cannot be written"),
        log.recorded(ACTOR, "users.add", "x"),
    ):
        pass


def test_a_text_of_any_kind_stays_one_bounded_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    hostile = "a\nb\x00\u202e😀\udc80" + "x" * 1000
    log.record(ACTOR, "users.edit", hostile, {"changes": [hostile] * 1000, "bytes": b"\xff"})
    (line,) = lines(log)
    assert len(log.path.read_bytes().splitlines()) == 1
    assert str(line["target"]).startswith("a\nb\x00\u202e😀")
    assert len(str(line["target"])) <= LONGEST_TEXT + 10
    details = line["details"]
    assert isinstance(details, dict)
    assert len(details["changes"]) == MOST_DETAILS + 1


def test_it_is_read_page_by_page_from_its_end(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    assert log.newest(10) == ([], None)
    for number in range(2500):
        log.record(ACTOR, "users.edit", str(number), {"padding": "p" * 100})
    with log.path.open("ab") as file:
        file.write(b"no entry\n")
    seen: list[str] = []
    before: int | None = None
    while True:
        entries, before = log.newest(700, before)
        seen += [entry["target"] for entry in entries]
        if before is None:
            break
    assert seen == [str(number) for number in reversed(range(2500))]


def _write_many(directory: Path, name: str) -> None:
    log = AuditLog(directory)
    for number in range(200):
        log.record(Actor(name, "command line"), "users.edit", str(number), {"padding": name * 250})


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = lines(AuditLog(tmp_path))
    assert sorted((str(line["actor"]), int(str(line["target"]))) for line in found) == [(name, n) for name in "abc" for n in range(200)]


def test_who_runs_a_command_is_not_taken_from_variables_that_anybody_can_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody")
    monkeypatch.delenv("SUDO_USER", raising=False)
    name = pwd.getpwuid(os.getuid()).pw_name
    assert command_line_actor() == Actor(f"os:{name}", "command line")
    monkeypatch.setenv("SUDO_USER", "anna")
    assert command_line_actor() == Actor(f"os:{name} (SUDO_USER=anna)", "command line")
