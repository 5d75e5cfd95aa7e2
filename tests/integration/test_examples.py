"""The examples work as their documents say, against this package's proxy and against another program."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import dbproxy
from dbproxy.testing import Stack

ROOT = Path(dbproxy.__file__).parents[1]
EXAMPLES = ROOT / "examples"
SMALL_PROXY = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, str(ROOT / "tests" / "support" / "small_proxy.py")])


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=115, check=False, env=environment)


def run_tests(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}", "-c", os.devnull, *arguments)


def test_the_tests_pass_against_dbproxy(tmp_path: Path) -> None:
    done = run_tests(tmp_path, str(EXAMPLES))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_tests_find_what_another_program_does_wrong(tmp_path: Path) -> None:
    right = run_tests(tmp_path, str(EXAMPLES / "test_conversation.py"), "--dbproxy-command", SMALL_PROXY, "-k", "group or page or numbered")
    assert "3 passed" in right.stdout, right.stdout + right.stderr
    wrong = run_tests(tmp_path, str(EXAMPLES / "test_faults.py"), "--dbproxy-command", f"{SMALL_PROXY} ids-restart", "-k", "restarted")
    assert "1 failed" in wrong.stdout, wrong.stdout + wrong.stderr


def test_faults_are_skipped_on_servers_that_cannot_be_killed(tmp_path: Path, dbproxy_stack: Stack) -> None:
    server, redis_server = dbproxy_stack.mariadb, dbproxy_stack.redis_server
    mysql_url = f"mysql://{server.user}:{server.password}@127.0.0.1:{server.port}/of_examples"
    options = "--dbproxy-mysql", mysql_url, "--dbproxy-redis", f"redis://127.0.0.1:{redis_server.port}/9"
    done = run_tests(tmp_path, str(EXAMPLES / "test_faults.py"), *options)
    assert "1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr


@pytest.mark.watchdog(240)
def test_the_cases_are_recorded_and_replayed(tmp_path: Path) -> None:
    recording = tmp_path / "mine.json"
    done = run("dbproxy.conformance", "record", str(EXAMPLES / "cases.py"), "--output", str(recording))
    assert done.returncode == 0, done.stderr
    done = run("dbproxy.conformance", "--cases", str(recording), "--only", "mine")
    assert "2 of 2 cases agree" in done.stdout, done.stdout + done.stderr
