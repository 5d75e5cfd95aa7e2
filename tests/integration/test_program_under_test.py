"""Somebody else's program under the fixtures of pytest: what is said of it when it dies, hangs or never listens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import dbproxy
from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.process import NotReadyError

ROOT = Path(dbproxy.__file__).parents[1]
SMALL_PROXY = ["env", f"PYTHONPATH={ROOT}", sys.executable, str(ROOT / "tests" / "support" / "small_proxy.py")]

CONFTEST = """
import pytest
from dbproxy.testing import ProxyProcess, sign_of_life
sign_of_life.ANSWER_TIMEOUT = 1.5

@pytest.fixture
def own(dbproxy_stack):
    dbproxy_stack.reset()
    with ProxyProcess(dbproxy_stack) as running:
        yield running
"""
OF_ONE_THAT_DIES = """
import pytest
from dbproxy.testing import ProxyProcess

def test_well(dbproxy_client):
    assert dbproxy_client.send_message(1, 2, "hello").msg_id == 1
    assert dbproxy_client.unread(2).total_cnt == 1

def test_fixture(dbproxy_client):
    dbproxy_client.send_group_message(1, 7, "hello")

@pytest.fixture
def greeted(own):
    with own.client() as client:
        client.send_group_message(1, 7, "hello")

def test_setup(greeted):
    pass

def test_local(dbproxy_stack):
    with ProxyProcess(dbproxy_stack) as proxy, proxy.client() as client:
        client.send_group_message(1, 7, "hello")

def test_alive(own):
    assert False
"""
OF_ONE_THAT_HANGS = """
def test_hangs(dbproxy_client):
    dbproxy_client.timeout = 1
    dbproxy_client.send_group_message(1, 7, "hello")
"""
OF_ONE_THAT_NEVER_LISTENS = """
import pytest
from dbproxy.testing import ProxyProcess
ProxyProcess.start_timeout = 1

def test_first(dbproxy_proxy):
    pass

def test_second(dbproxy_proxy):
    pass

@pytest.mark.dbproxy(ThreadNum=3)
def test_other_keys(dbproxy_proxy):
    pass
"""


def run_tests(directory: Path, tests: str, *command: str) -> str:
    """Run the tests against a program and return what pytest has printed."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(tests)
    (directory / "pytest.ini").write_text(f"[pytest]\ndbproxy_command = {shlex.join(command)}\n")
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(arguments, capture_output=True, text=True, timeout=110, check=False, env=environment).stdout


def conditions(report: str) -> dict[str, str]:
    """What is said of the program in the report, by the test."""
    found: dict[str, str] = {}
    test = ""
    for line in report.splitlines():
        if title := re.fullmatch(r"_+ (?:ERROR at setup of )?(\w+) _+", line):
            test = title[1]
        elif said := re.fullmatch(r"it (.+); the end of .*", line):
            found[test] = said[1]
    return found


def test_it_is_said_of_every_program_of_a_failed_test_or_fixture_whether_it_has_died(tmp_path: Path) -> None:
    report = run_tests(tmp_path, OF_ONE_THAT_DIES, *SMALL_PROXY, "dies")
    assert "3 failed, 1 passed, 1 error" in report, report
    died = "was ended by SIGABRT"
    assert conditions(report) == {"test_fixture": died, "test_setup": died, "test_local": died, "test_alive": "runs and answers"}, report


def test_a_program_that_accepts_connections_and_never_answers_is_said_to_hang(tmp_path: Path) -> None:
    report = run_tests(tmp_path, OF_ONE_THAT_HANGS, *SMALL_PROXY, "hangs")
    assert conditions(report)["test_hangs"].startswith("hangs: it runs and accepts connections, but has answered none of 3 requests"), (
        report
    )


def test_a_program_that_never_listens_is_waited_for_once_with_the_same_keys(tmp_path: Path) -> None:
    report = run_tests(tmp_path, OF_ONE_THAT_NEVER_LISTENS, "sleep", "600")
    assert "3 errors" in report, report
    # the summary repeats the errors, in full where the variable CI is set
    errors = report.partition("short test summary info")[0]
    assert errors.count("not started again, because it never got ready before: proxy was not ready after 1 s") == 1, report
    assert errors.count("NotReadyError: proxy was not ready after 1 s") == 2, report


def test_other_programs_do_not_get_our_python_path(dbproxy_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProxyProcess, "start_timeout", 1)
    monkeypatch.setenv("PYTHONPATH", "/somebody/elses")
    program = ProxyProcess(dbproxy_stack, command=["/bin/sh", "-c", 'echo "path $PYTHONPATH"; exec sleep 60'])
    with pytest.raises(NotReadyError):
        program.start()
    assert program.log() == "path /somebody/elses"
