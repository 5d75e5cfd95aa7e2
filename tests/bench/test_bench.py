"""The benchmark itself: tiny runs from end to end. What comes out is complete; no figure is judged."""

from __future__ import annotations

import importlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbproxy.bench import chart, dataset, limits, report, slap, usage
from dbproxy.bench.__main__ import main
from dbproxy.bench.generator import Generator, Job, Outcome
from dbproxy.bench.load import GeneratorError, Measured, measure
from dbproxy.bench.requests import frame
from dbproxy.bench.site import Site
from dbproxy.bench.workloads import WORKLOADS, wrong_replies
from dbproxy.testing import ProxyProcess, Stack, seed
from dbproxy.testing.process import free_port
from dbproxy.testing.requests import message
from dbproxy.wire.pb import buddy_pb2
from devtools.bench import growth, growth_chart


@pytest.fixture(scope="module")
def running(dbproxy_stack: Stack) -> Iterator[ProxyProcess]:
    """An installation that somebody uses: a proxy, two users who talk, a group."""
    dbproxy_stack.reset()
    with ProxyProcess(dbproxy_stack, {"SyncInterval": 3600}) as proxy:
        yield proxy


@pytest.fixture
def in_use(dbproxy_stack: Stack, running: ProxyProcess) -> ProxyProcess:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    seed.group(dbproxy_stack, 1, [1, 2])
    with running.client() as client:
        client.send_message(1, 2)
        client.send_group_message(1, 1)
    return running


@pytest.fixture
def site(dbproxy_stack: Stack, in_use: ProxyProcess) -> Iterator[Site]:
    with Site(in_use.config_path) as connected:
        yield connected


def read(path: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def test_a_private_run_answers_the_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    arguments = ["--quick", "--workloads", "users,mix", "--in-flight", "1,8", "--seconds", "0.2", "--users", "40", "--json", str(path)]
    assert main([*arguments, "--set", "ThreadNum=5"]) == 0
    results = read(path)
    cells = {(cell["workload"], cell["in_flight"]): cell for cell in results["cells"]}
    assert list(cells) == [("users", 1), ("users", 8), ("mix", 1), ("mix", 8)]
    for cell in cells.values():
        assert cell["requests"] > 0
        assert cell["per_second"] > 0
        assert 0 < cell["p50_ms"] <= cell["p99_ms"]
        assert cell["unanswered"] == cell["wrong"] == 0
        assert cell["limit"]
        assert {"proxy", "MariaDB", "Redis", "generator", "machine", "others"} == set(cell["cores"])
    assert [cell["connections"] for cell in cells.values()] == [1, 4, 1, 4]
    assert results["machine"]["thread_num"] == 5
    assert results["mariadb_alone"]["transactions_per_second"] > 0
    assert results["mariadb_alone"]["users_ratio"] > 0
    shown = capsys.readouterr().out
    assert "requests/s with" in shown
    assert "MariaDB alone" in shown


def test_an_installation_in_use_is_not_touched_without_consent(
    dbproxy_stack: Stack, in_use: ProxyProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dbproxy_stack.snapshot()
    assert main(["--config", str(in_use.config_path)]) == 2
    assert dbproxy_stack.snapshot() == before
    assert "--write-to-it" in capsys.readouterr().err


def test_an_installation_in_use_is_unchanged_afterwards(dbproxy_stack: Stack, in_use: ProxyProcess, tmp_path: Path) -> None:
    before = dbproxy_stack.snapshot()
    path = tmp_path / "results.json"
    arguments = ["--quick", "--workloads", "list,mix", "--in-flight", "8", "--seconds", "0.2", "--users", "30", "--json", str(path)]
    assert main(["--config", str(in_use.config_path), "--write-to-it", *arguments]) == 0
    assert [cell["wrong"] for cell in read(path)["cells"]] == [0, 0]
    assert dbproxy_stack.snapshot() == before
    assert not [row for row in dbproxy_stack.rows("show databases") if "bench" in str(row)]


def test_what_a_crashed_run_has_left_can_be_removed(dbproxy_stack: Stack, in_use: ProxyProcess, site: Site) -> None:
    before = dbproxy_stack.snapshot()
    dataset.make(site, dataset.Shape(users=10, friends=2, history=2, groups=1, group_size=5))
    assert dbproxy_stack.snapshot() != before
    assert main(["--config", str(in_use.config_path), "--write-to-it", "--remove"]) == 0
    assert dbproxy_stack.snapshot() == before


def test_a_proxy_that_does_not_run_is_a_clear_message(dbproxy_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dbproxy_stack.write_config(tmp_path / "dbproxyserver.conf", {"ListenPort": free_port()})
    assert main(["--config", str(path), "--write-to-it"]) == 1
    assert "start it first" in capsys.readouterr().err


def test_growth_has_a_point_for_each_size_and_command(dbproxy_stack: Stack, in_use: ProxyProcess) -> None:
    with Site(in_use.config_path, stack=dbproxy_stack) as private:
        said: list[str] = []
        points = growth.run(private, ["unread"], quick=True, requests=5, show=said.append)
    lines = growth.lines_of(points)
    assert {command for _, command in lines} == {"send", "list, newest", "unread", "recent", "token"}
    assert all([point.size for point in line] == [5, 50] for line in lines.values())
    assert all(point.p50_ms > 0 and point.rows_read is not None for point in points)
    assert said
    table = growth.table(points)
    assert "ms at 50" in table
    assert "list, newest" in table


def point(size: int, rows: float, answer: float = 100, p50: float = 1.0) -> growth.Point:
    return growth.Point("history", size, "list", p50, 1000 / p50, answer, rows, 0.0, 0.0)


def test_growth_is_called_so_only_beyond_that_of_the_answer() -> None:
    assert growth.assess([point(20, 20), point(2000, 25)]) == ""
    assert growth.assess([point(20, 20), point(2000, 2000)]) == "GROWS: rows read"
    assert growth.assess([point(20, 20), point(2000, 2000, answer=10_000)]) == "with the reply"
    assert growth.assess([point(20, 20), point(2000, 20, p50=9.0)]) == "GROWS: time"


def test_every_workload_gets_right_answers(site: Site) -> None:
    data = dataset.make(site, dataset.Shape(users=30, friends=3, groups=2, group_size=10))
    for workload in WORKLOADS.values():
        frames = workload.frames(data, 60)
        outcome = Generator(Job(site.host, site.port, 2, 4, 0.0, 10.0, count=60), [bytearray(one) for one in frames]).run(lambda _: None)
        assert outcome.requests >= 60, workload.name
        assert (outcome.unanswered, outcome.closed) == (0, 0), workload.name
        assert outcome.samples, workload.name
        assert wrong_replies(outcome.samples) == [], workload.name


def test_refused_requests_are_reported_as_wrong_replies(site: Site) -> None:
    refused = [frame(message(1, 1)), frame(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=(999_999,)))]
    job = Job(site.host, site.port, 1, 2, 0.0, 10.0, count=100)
    outcome = Generator(job, [bytearray(one) for one in refused]).run(lambda _: None)
    assert len(wrong_replies(outcome.samples)) == len(outcome.samples) > 0


def test_requests_take_turns_over_many_connections(site: Site) -> None:
    dataset.make(site, dataset.Shape(users=4, friends=1, history=1, groups=0))
    request = frame(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=(1,)))
    job = Job(site.host, site.port, 60, 8, 0.0, 10.0, in_turn=True, count=200)
    outcome = Generator(job, [bytearray(request)]).run(lambda _: None)
    assert outcome.requests >= 200
    assert (outcome.unanswered, outcome.closed) == (0, 0)


def test_a_generator_that_cannot_connect_says_why(site: Site) -> None:
    with pytest.raises(GeneratorError, match="refused"):
        measure(site, Job(site.host, free_port(), 1, 1, 0.0, 0.1), [b""], {})


def measured(*, generator: float = 0.1, proxy: float = 0.1, machine: float = 1.0, fsyncs: float = 0.0, cores: int = 4) -> Measured:
    processes = {"proxy": proxy, "MariaDB": 0.3, "Redis": 0.1, "generator": generator}
    outcome = Outcome(100, 1.0, 0.001, 0.002, 1000, 0, 0, [], [])
    return Measured(outcome, usage.Usage(cores, processes, machine, 0.0), fsyncs, 0.0)


@pytest.mark.parametrize(
    ("found", "in_flight", "name"),
    [
        (measured(generator=0.97, proxy=0.95), 64, "generator"),
        (measured(proxy=0.95), 64, "proxy"),
        (measured(machine=3.95), 64, "machine (others)"),
        (measured(fsyncs=1800.0), 64, "disk"),
        (measured(), 1, "waiting"),
        (measured(), 64, "waiting"),
    ],
)
def test_what_is_at_its_limit_is_named(found: Measured, in_flight: int, name: str) -> None:
    assert limits.find_limit(found, in_flight, 1, 0.0004).name == name


def test_two_proxy_processes_have_two_cores() -> None:
    assert limits.find_limit(measured(proxy=0.95), 64, 2, None).name == "waiting"
    assert limits.find_limit(measured(proxy=1.9), 64, 2, None).name == "proxy"


def test_processes_are_found_by_the_port_they_listen_on(dbproxy_stack: Stack, in_use: ProxyProcess) -> None:
    assert usage.listeners(in_use.host, in_use.port) == [in_use.pid]
    assert usage.listeners(*dbproxy_stack.mariadb.address) == [dbproxy_stack.mariadb.pid]
    assert usage.listeners("192.0.2.1", in_use.port) == []


def test_the_time_of_a_busy_process_is_counted() -> None:
    us = {"us": [os.getpid()]}
    before = usage.sample(us)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        math.sqrt(2)
    used = usage.usage(before, usage.sample(us))
    assert used.processes["us"] > 0.05
    assert used.machine > 0


def without_matplotlib(name: str) -> None:
    raise ImportError(f"no {name}")


def test_a_chart_without_matplotlib_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib, "import_module", without_matplotlib)
    assert main(["--chart", str(tmp_path / "chart.png")]) == 1
    assert "dbproxy[bench]" in capsys.readouterr().err


def test_charts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'bench' is not installed")
    cell = report.Cell("users", 1, 1, 900.0, 1.0, 2.0, 900, 0, 0, {}, 0.0, 0.0, 50.0, "proxy", "the proxy", [])
    path = tmp_path / "chart.png"
    chart.check(path)
    chart.draw(path, [cell], report.MariaDBAlone(3000.0, 15000.0, ""), "title")
    assert path.read_bytes().startswith(b"\x89PNG")
    growth_chart.draw(tmp_path / "growth.svg", [point(20, 20), point(2000, 25)], "title")
    assert "<svg" in (tmp_path / "growth.svg").read_text(encoding="utf-8")
    with pytest.raises(chart.NoChartError, match="ending"):
        chart.check(tmp_path / "chart.doc")


def test_without_a_load_program_the_reason_is_given(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    absent: Callable[[], str | None] = lambda: None  # noqa: E731
    monkeypatch.setattr(slap, "find_program", absent)
    alone = slap.measure_alone(site.config.db_instances["teamtalk_master"], 0.1)
    assert (alone.transactions, alone.selects) == (None, None)
    assert "not" in report.summary([], report.MariaDBAlone(None, None, alone.reason))
    assert "mysqlslap" in alone.reason


@pytest.mark.parametrize("arguments", [["--workloads", "nonsense"], ["--in-flight", "0"], ["--axes", ""], ["--in-flight", "a,b"]])
def test_mistakes_on_the_command_line_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
