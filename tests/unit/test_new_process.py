"""How the process is started that takes over: with the release that is installed at that moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dbproxy.handover.new_process import NewProcess


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "db_proxy_server"
    path.write_text("#!/bin/sh\n", encoding="ascii")
    path.chmod(0o755)
    return path


def started_as(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    monkeypatch.setattr(sys, "orig_argv", list(words))
    return list(NewProcess.like_this_one({}).command)


def test_an_installed_script_is_started_itself_because_it_names_its_interpreter(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    command = started_as(monkeypatch, "/opt/dbproxy-1.2.0/bin/python", str(script), "--config", "x.conf")
    assert command == [str(script), "--config", "x.conf"]


def test_a_module_is_started_with_the_interpreter_as_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started_as(monkeypatch, "/opt/dbproxy/bin/python", "-m", "dbproxy") == ["/opt/dbproxy/bin/python", "-m", "dbproxy"]
    assert started_as(monkeypatch, "python3", "-X", "dev", "-m", "dbproxy") == [sys.executable, "-X", "dev", "-m", "dbproxy"]


def test_the_working_directory_keeps_its_name_if_that_is_a_link_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    link = tmp_path / "current"
    link.symlink_to(release)
    monkeypatch.chdir(release)
    monkeypatch.setenv("PWD", str(link))
    assert NewProcess.like_this_one({}).directory == str(link)
    monkeypatch.setenv("PWD", "/")
    assert NewProcess.like_this_one({}).directory == str(release)
    assert NewProcess.like_this_one({"NAME": "value"}).environment["NAME"] == "value"
