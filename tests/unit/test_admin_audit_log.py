"""The audit log of dbproxy-admin: what is written, what is not, and reading it from its end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.admin.access.audit_log import LONGEST_LINE, LONGEST_TEXT, MOST_DETAILS, Actor, AuditLog, command_line_actor
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of 1 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def fill(directory: Path) -> Path:
    """Leave no byte of a file system."""
    filler = directory / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def test_what_is_being_done_when_the_disk_becomes_full_is_recorded_and_nothing_else_is_done(small_disk: Path) -> None:
    log, done = AuditLog(small_disk / "admin"), []
    log.record(ACTOR, "web.login", "web", {"padding": "p" * 200, "more": ["p" * 200] * 20})  # the end of it is within a page of the disk
    with log.recorded(ACTOR, "users.disable", "x", {"padding": ["p" * 300] * 40}):
        filler = fill(small_disk)
        done.append(1)
    assert [entry["action"] for entry in log.newest(10)[0]] == ["users.disable", "web.login"]
    fill(small_disk)
    with pytest.raises(AdminError, match="No space left"), log.recorded(ACTOR, "users.disable", "z"):
        done.append(2)
    assert done == [1]
    filler.unlink()
    with log.recorded(ACTOR, "users.enable", "x"):
        done.append(3)
    assert [entry["action"] for entry in log.newest(2)[0]] == ["users.enable", "users.disable"]


def test_logins_that_fail_on_a_full_disk_leave_the_space_for_what_is_being_done(small_disk: Path) -> None:
    log = AuditLog(small_disk)
    with log.recorded(ACTOR, "users.disable", "x"):
        fill(small_disk)
        for _ in range(100):
            with contextlib.suppress(AdminError):
                log.record(ACTOR, "web.login", "web", outcome="wrong")
    assert log.newest(1)[0][0]["action"] == "users.disable"


def test_a_line_after_one_that_was_cut_off_is_not_lost(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(ACTOR, "users.add", "x")
    with log.path.open("ab") as file:
        file.write(b'{"time": "2026-')
    log.record(ACTOR, "users.disable", "y")
    assert [entry["target"] for entry in log.newest(10)[0]] == ["y", "x"]


def test_a_line_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    hostile = "a\x1b[2Jb\x9b2Jc\x7f\u202eroot\u2066\u2028\x85d"
    log.record(ACTOR, "users.add", hostile)
    text = log.path.read_text(encoding="utf-8")
    assert text.isascii()
    assert text.strip().isprintable()
    assert lines(log)[0]["target"] == hostile


def test_a_line_is_bounded_whatever_the_details(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(ACTOR, "users.import", "x", {str(number): ["𠮷" * 300] * 50 for number in range(10)})
    assert log.path.stat().st_size < LONGEST_LINE
    assert "omitted" in log.newest(1)[0][0]["details"]


@pytest.mark.watchdog(30)
def test_a_position_behind_the_end_is_the_end(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(ACTOR, "users.add", "x")
    assert log.newest(10, 10**18)[0][0]["target"] == "x"


def test_what_is_no_log_is_passed_over_in_steps(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(ACTOR, "users.add", "x")
    with log.path.open("ab") as file:
        file.write(b"\0" * (20 * LONGEST_LINE))
    log.record(ACTOR, "users.add", "y")
    found, position, steps = [], None, 0
    while steps == 0 or position is not None:
        entries, position = log.newest(3, position)
        found += [entry["target"] for entry in entries]
        steps += 1
    assert found == ["y", "x"]
    assert steps < 20
