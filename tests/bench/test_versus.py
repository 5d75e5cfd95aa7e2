"""dbproxy-load: programs compared in turns."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import dbproxy
from dbproxy.bench.generator import QUANTILES, Outcome, combined
from dbproxy.bench.load_command import main
from dbproxy.bench.versus import Comparison, Turn
from dbproxy.bench.versus_report import remarks, table
from dbproxy.testing import ProxyProcess, Stack, seed

ROOT = Path(dbproxy.__file__).parents[1]
SMALL_PROXY = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, str(ROOT / "tests" / "support" / "small_proxy.py")])


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from dbproxy.bench.load_command import main; sys.exit(main())", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_two_programs_are_measured_in_turns(tmp_path: Path) -> None:
    report, chart = tmp_path / "report.json", tmp_path / "chart.svg"
    programs = ("--command", "dbproxy", "--command", SMALL_PROXY, "--name", "ours", "--name", "small")
    size = ("--seconds", "0.3", "--warm", "0.1", "--rounds", "2", "--in-flight", "4", "--users", "40", "--workloads", "unread,single")
    done = load(*programs, *size, "--json", str(report), "--chart", str(chart), "--generators", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    for comparison in told["comparisons"]:
        for name in ("ours", "small"):
            turns = comparison["turns"][name]
            assert [turn["problem"] for turn in turns] == ["", ""]
            assert all(turn["per_second"] > 0 and turn["generators"] == 2 for turn in turns)
            assert any(turn["cpu_us"].get("proxy", 0) > 0 for turn in turns)  # in a short turn it may have got none that the kernel counts
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("unread", "single"))]
    assert [row[:2] for row in rows] == [["unread", "ours"], ["unread", "small"], ["single", "ours"], ["single", "small"]]
    assert rows[0][3] == "1"
    assert "from up to 2 generators" in done.stdout
    assert chart.read_text().startswith("<?xml")


def test_a_program_that_does_not_answer_or_dies_is_said_and_the_others_are_measured() -> None:
    size = ("--seconds", "0.2", "--warm", "0", "--rounds", "1", "--in-flight", "2", "--users", "40", "--workloads", "group")
    done = load("--command", "dbproxy", "--command", f"{SMALL_PROXY} dies", "--command", "false", *size)
    assert done.returncode == 1
    assert "(!) group, env, round 1: " in done.stdout
    assert "was ended by SIGABRT" in done.stdout
    assert "(!) group, false, round 1: proxy ended at once with status 1" in done.stdout
    assert next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("group ")) == "dbproxy"


def test_a_program_that_sends_no_pdus_is_said_and_does_not_hang_the_run() -> None:
    size = ("--seconds", "0.2", "--warm", "0", "--rounds", "1", "--in-flight", "2", "--users", "40", "--workloads", "unread")
    done = load("--command", f"{SMALL_PROXY} short-length", *size)
    assert done.returncode == 1
    assert "the proxy has sent a PDU of 0 bytes, which is shorter than its header" in done.stdout


def test_a_running_program_keeps_its_own_data(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    with ProxyProcess(dbproxy_stack) as proxy:
        running = ("--connect", f"127.0.0.1:{proxy.port}", "--config", str(proxy.config_path))
        assert load(*running).returncode == 2
        size = ("--seconds", "0.2", "--warm", "0", "--rounds", "1", "--in-flight", "2", "--users", "40", "--workloads", "single")
        done = load(*running, *size, "--write-to-it")
        assert done.returncode == 0, done.stdout + done.stderr
    assert [row["name"] for row in dbproxy_stack.rows("SELECT name FROM IMUser")] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--connect", "127.0.0.1:1"], "each --connect needs a --config"),
        (["--connect", "127.0.0.1", "--config", "x"], "expected host:port"),
        (["--rounds", "0"], "a whole number from 1 to 100"),
        (["--workloads", "nothing"], "is not among"),
        (["--name", "a", "--name", "b"], "give a --name for each program"),
    ],
)
def test_a_mistake_in_the_command_line_is_explained(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_latencies_of_several_generators_are_put_together() -> None:
    def outcome(requests: int, latency: float) -> Outcome:
        return Outcome(requests, 1.0, latency, latency, 10, 1, 0, [], [latency] * (QUANTILES + 1))

    both = combined([outcome(900, 1.0), outcome(100, 5.0)])
    assert (both.requests, both.unanswered, round(both.per_second)) == (1000, 2, 1000)
    assert (both.p50, both.p99, both.quantiles[890], both.quantiles[910]) == (1.0, 5.0, 1.0, 5.0)


def test_ratios_are_those_of_the_rounds_and_a_used_up_generator_is_said() -> None:
    comparison = Comparison(
        "single",
        {
            "a": [Turn(100, cpu_us={"proxy": 10.0}, generator_cores=0.95), Turn(200), Turn(problem="it died")],
            "b": [Turn(150), Turn(200), Turn(100)],
        },
    )
    assert comparison.ratios("b", "a") == [1.5, 1.0]
    lines = table([comparison], ["a", "b"]).splitlines()
    assert lines[3].split()[:5] == ["single", "b", "150", "1.25", "1.00-1.50"]
    said = "\n".join(remarks([comparison]))
    assert "A generator's core was used up" in said
    assert "(!) single, a, round 3: it died" in said
