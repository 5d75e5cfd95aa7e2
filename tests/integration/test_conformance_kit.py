"""The kit for other people's proxies finds what is wrong with one, and says where; and finds nothing wrong with one that is right."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import dbproxy
from dbproxy.conformance import programs
from dbproxy.conformance.programs import StartedProgram
from dbproxy.conformance.recordings import BETTER, recorded
from dbproxy.conformance.runner import CaseResult, Runner
from dbproxy.testing import FileServer, ProxyProcess, Stack
from dbproxy.testing.client import Client
from dbproxy.testing.process import free_port
from dbproxy.testing.waiting import eventually

ROOT = Path(dbproxy.__file__).parents[1]
SMALL_PROXY = ROOT / "tests" / "support" / "small_proxy.py"
CASES = ("single_first_message", "single_conversation", "single_unread_and_read", "group_read_ack")
"""Cases for which the small proxy has all commands."""


def command_of(*faults: str) -> str:
    """The command line of the small proxy with these faults."""
    return shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, str(SMALL_PROXY), *faults])


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dbproxy.conformance", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})


def examined(stack: Stack, faults: Sequence[str], *names: str) -> dict[str, CaseResult]:
    """Case → its result."""
    cases = [case for case in recorded(BETTER) if case["name"] in names]
    assert len(cases) == len(names)
    with FileServer() as site, StartedProgram(stack, shlex.split(command_of(*faults)), site.site) as program:
        return {result.name: result for result in Runner(program, site.site, timeout=1).run(cases)}


def test_a_right_proxy_agrees_in_what_it_can_do(dbproxy_stack: Stack) -> None:
    results = examined(dbproxy_stack, (), *CASES)
    assert {name: result.problems for name, result in results.items()} == dict.fromkeys(CASES, ())


@pytest.mark.parametrize(
    ("fault", "case", "place"),
    [
        # msg_ids are counted in memory, so they begin again when the program does
        ("ids-restart", "single_unread_and_read", "step 1 (CID_MSG_DATA): reply 1, msg_id: expected 1, found 2"),
        # the member has read everything
        ("group-unread", "group_read_ack", "step 5 (CID_MSG_UNREAD_CNT_REQUEST): reply 1, total_cnt: expected 0, found 2"),
        # the acknowledgement is there, the row is not yet
        ("early-ack", "single_first_message", "step 1 (CID_MSG_DATA): table IMMessage_1: missing "),
    ],
)
def test_each_fault_of_a_wrong_proxy_is_found_where_it_is(dbproxy_stack: Stack, fault: str, case: str, place: str) -> None:
    results = examined(dbproxy_stack, (fault,), *dict.fromkeys(("single_first_message", case)))
    assert results[case].verdict == "differs"
    assert any(problem.startswith(place) for problem in results[case].problems), results[case].problems
    replies = [problem for problem in results["single_first_message"].problems if "reply" in problem]
    assert replies == []


def test_three_faults_at_once_are_found(dbproxy_stack: Stack) -> None:
    results = examined(
        dbproxy_stack, ("ids-restart", "group-unread", "early-ack"), "single_first_message", "single_unread_and_read", "group_read_ack"
    )
    text = "\n".join(problem for result in results.values() for problem in result.problems)
    assert "msg_id: expected" in text
    assert "table IMGroupMessage_1: missing" in text
    assert "CID_MSG_UNREAD_CNT_REQUEST): reply 1, total_cnt: expected" in text


def test_a_proxy_that_dies_is_named_as_such_and_started_again(dbproxy_stack: Stack) -> None:
    results = examined(dbproxy_stack, ("dies",), "group_read_ack", "ids_go_on_after_redis_lost_the_counter", "too_long_is_not_acknowledged")
    assert results["group_read_ack"].verdict == "died"
    assert results["group_read_ack"].problems[0] == "the program was ended by SIGABRT"
    assert [result.verdict for result in results.values()].count("died") == 1


def test_a_proxy_that_hangs_is_named_as_such_and_started_again(dbproxy_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "ALIVE_TIMEOUT", 1.0)
    results = examined(dbproxy_stack, ("hangs",), "group_read_ack", "ids_go_on_after_redis_lost_the_counter")
    assert results["group_read_ack"].verdict == "hangs"
    assert results["ids_go_on_after_redis_lost_the_counter"].verdict == "differs"


def test_a_program_that_does_not_start_is_said_once_for_each_case() -> None:
    done = conformance("--command", "false", "--only", "login_ok", "--only", "login_wrong_password")
    assert done.returncode == 3
    assert "login_ok (login): not run" in done.stdout
    assert "the program does not start; see the first case" in done.stdout
    assert "proxy ended at once with status 1" in done.stdout
    missing = conformance("--command", "/no/such/program", "--only", "login_ok")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr == "dbproxy-conformance: /no/such/program is not a program that can be run\n"


def test_a_program_that_does_not_send_pdus_differs_and_does_not_end_the_run(dbproxy_stack: Stack) -> None:
    results = examined(dbproxy_stack, ("short-length",), "single_first_message", "single_unread_and_read")
    assert {result.verdict for result in results.values()} == {"differs"}
    assert "step 1 (CID_MSG_DATA) could not be done" in results["single_first_message"].problems[0]


def test_reports_have_every_case(tmp_path: Path) -> None:
    junit, report = tmp_path / "junit.xml", tmp_path / "report.json"
    chosen = ("--only", "single_first_message", "--only", "group_read_ack")
    done = conformance("--command", command_of("group-unread"), "--timeout", "1", "--junit", str(junit), "--json", str(report), *chosen)
    assert done.returncode == 1
    assert "1 of 2 cases agree" in done.stdout
    (suite,) = ET.parse(junit).getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == ("2", "1", "0")
    failed = {case.attrib["name"]: case.find("failure") for case in suite}
    assert failed["single_first_message"] is None
    failure = failed["group_read_ack"]
    assert failure is not None
    assert "total_cnt: expected 0, found 2" in (failure.text or "")
    told = json.loads(report.read_text())
    assert [(case["name"], case["verdict"]) for case in told["cases"]] == [
        ("single_first_message", "agrees"),
        ("group_read_ack", "differs"),
    ]
    assert told["capabilities"]["writes_pid_file"] is False
    assert told["capabilities"]["honours_sync_interval"] is True


def test_cases_are_listed_by_profile_and_topic() -> None:
    original, better = conformance("--list"), conformance("--list", "--profile", "better", "--only", "recovery")
    assert len(original.stdout.splitlines()) == 68
    assert {line.split()[0] for line in original.stdout.splitlines()} == {"original"}
    assert [line.split()[:2] for line in better.stdout.splitlines()] == [["better", "recovery"]] * 5
    nothing = conformance("--only", "nonsense")
    assert nothing.returncode == 2
    assert "--only fits no case" in nothing.stderr


def test_own_cases_are_recorded_and_replayed(tmp_path: Path) -> None:
    cases = tmp_path / "cases.py"
    cases.write_text(
        """
from dbproxy.conformance.cases import case, raw, step
from dbproxy.wire.pb import buddy_pb2, message_pb2

USERS = [{"id": 5, "name": "eve", "sex": 1, "domain": "e", "nick": "Eve", "password": "x", "salt": "y", "phone": "", "email": "",
          "avatar": "", "departId": 1, "status": 0, "created": 1, "updated": 2, "push_shield_status": 0, "sign_info": ""}]
CASES = [
    case("eve_writes", step(message_pb2.IMMsgData(from_user_id=5, to_session_id=6, msg_id=0, create_time=9, msg_type=1, msg_data=b"x")),
         step(message_pb2.IMUnreadMsgCntReq(user_id=6), seq=9), tables={"IMUser": USERS}, topic="eve"),
    case("garbage", raw(b"\\\\0" * 16)),
]
"""
    )
    recording = tmp_path / "mine.json"
    done = conformance("record", str(cases), "--output", str(recording), "--timeout", "2")
    assert (done.returncode, done.stdout) == (0, "")
    assert "[1/2] eve_writes: 2 steps" in done.stderr
    made = json.loads(recording.read_text())
    assert made[0]["expect"][0]["replies"][0]["fields"]["msg_id"] == 1
    assert made[0]["expect"][1]["replies"][0]["seq_num"] == 9
    again = conformance("--cases", str(recording), "--only", "eve_writes", "--only", "garbage")
    assert "2 of 2 cases agree" in again.stdout, again.stdout
    wrong = conformance("--cases", str(recording), "--only", "eve_writes", "--command", command_of("early-ack"), "--timeout", "1")
    assert "table IMMessage_1: missing" in wrong.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [("CASES = []", "it must define CASES"), ("import nothing_like_this", "ModuleNotFoundError"), ("CASES = [1]", "it must define CASES")],
)
def test_a_file_of_cases_that_cannot_be_used_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    cases = tmp_path / "cases.py"
    cases.write_text(text)
    done = conformance("record", str(cases))
    assert done.returncode == 3
    assert problem in done.stderr


def test_a_running_proxy_is_examined_through_its_configuration(dbproxy_stack: Stack, tmp_path: Path) -> None:
    dbproxy_stack.reset()
    with ProxyProcess(dbproxy_stack, {"MsfsSite": f"127.0.0.1:{free_port()}", "SyncInterval": 1}) as proxy:
        running = ("--connect", f"127.0.0.1:{proxy.port}", "--config", str(proxy.config_path))
        done = conformance(*running, "--only", "single_audio", "--only", "login_ok")
        assert "2 of 2 cases agree" in done.stdout, done.stdout + done.stderr
        assert dbproxy_stack.rows("SELECT * FROM IMUser") == []
        dbproxy_stack.rows("INSERT INTO IMDepart (departName, priority, parentId, status, created, updated) VALUES ('x', 1, 0, 0, 1, 1)")
        refused = conformance(*running, "--only", "login_ok")
        assert refused.returncode == 3
        assert "is not empty, and a test run would empty it: there are rows (IMDepart)" in refused.stderr
        assert len(dbproxy_stack.rows("SELECT * FROM IMDepart")) == 1


def test_a_program_is_started_with_a_configuration_in_its_directory(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    with ProxyProcess(dbproxy_stack, command=shlex.split(command_of())) as proxy:
        assert proxy.condition == "runs and answers"
        with Client(proxy.host, proxy.port) as client:
            assert client.unread(1).total_cnt == 0
        proxy.restart()
        with proxy.client() as client:
            assert client.unread(1).total_cnt == 0
        proxy.freeze()
        assert eventually(lambda: proxy.condition, "is suspended") == "is suspended"
        proxy.kill()
        assert proxy.condition == "was ended by SIGKILL"
