"""What dbproxy-ctl prints: tables, values, and what two snapshots say together."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from dashboard_status import BOUNDS, connection, status

from dbproxy.ops.ctl_state import Connections, Pools, Slow, Status
from dbproxy.ops.ctl_tables import pairs, printable, rate, seconds, size, table
from dbproxy.ops.ctl_top import Top, difference, quantile

SLOW = {
    "time": 1764144000.25, "command": "CID_MSG_DATA", "peer": "10.0.0.1:5", "uuid": 3, "user_id": 1, "group_id": None, "session_id": 2,
    "batch": 4, "more": 0, "waited": 0.5, "worked": 1.25, "mysql": 1.0, "redis": 0.001, "file_server": 0.0, "statement": "select IMUser",
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0us"), (0.00035, "350us"), (0.0041, "4.1ms"), (2.3, "2.30s"), (303, "5m03s"), (11520, "3h12m"), (356400, "4d03h")],
)
def test_durations_are_short(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_sizes_and_rates_are_short() -> None:
    assert [size(value) for value in (0, 1023, 1536, 5 * 2**20, 2**50)] == ["0B", "1023B", "1.5KiB", "5.0MiB", "1024.0TiB"]
    assert [rate(value) for value in (0.04, 99.94, 1234.5)] == ["0.0", "99.9", "1234"]


def test_columns_are_as_wide_as_what_is_in_them_also_in_chinese() -> None:
    assert table(("name", "n"), [("中文", 1), ("b", 100)]).splitlines() == ["name    n", "中文    1", "b     100"]
    assert pairs([("a", 1), ("longer", "x"), ("", "y")]).splitlines() == ["a       1", "longer  x", "        y"]


def test_a_terminal_is_not_steered_by_what_is_shown() -> None:
    assert printable("a\x1b[2Jb\x9b\n\u202e中 ") == "a\\x1b[2Jb\\x9b\\n\\u202e中 "
    assert "\x1b" not in table(("x",), [("\x1b[31m",)])


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([0, 0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0, 0], 0.5, 0.0005),
        ([0, 10, 0, 0, 0], 0.5, 0.0055),
        ([50, 0, 50, 0, 0], 0.99, 0.01 + 0.09 * 49 / 50),
        ([0, 0, 0, 0, 5], 0.5, 1.0),
        ([-1, 1, 0, 0, 0], 0.5, None),
    ],
)
def test_a_quantile_is_found_within_its_bucket(buckets: list[int], share: float, expected: float | None) -> None:
    assert quantile(BOUNDS, buckets, share) == (None if expected is None else pytest.approx(expected))


def test_top_shows_rates_between_two_snapshots() -> None:
    before, after = status(10.0), status(12.0)
    after["started"], after["time"] = before["started"], before["time"] + 2
    lines = difference(before, after).splitlines()
    assert "serving, ready  up 12.00s  3 connections" in lines[0]
    assert lines[1].startswith("in 50.0 PDU/s (4.9KiB/s), out 50.0 PDU/s (9.8KiB/s)")
    assert lines[2] == "waiting 0 (oldest 0us), held 0, workers 0/8, 50.0 batches/s of 2.0"
    command = next(line for line in lines if line.startswith("CID_MSG_DATA")).split()
    assert command == ["CID_MSG_DATA", "50.0", "0.0", "0.0", "0.0", "500us", "990us", "5.5ms", "9.9ms"]
    assert not any(line.startswith("CID_OTHER_VALIDATE_REQ") for line in lines)  # nothing happened to it
    pool = next(line for line in lines if line.startswith("teamtalk_master")).split()
    assert pool == ["teamtalk_master", "yes", "50.0", "1.0ms", "1/16", "0", "0us"]


def test_top_says_what_is_wrong_and_that_another_process_answers() -> None:
    before = status(10.0)
    after = status(12.0, ready=False, reasons=["redis pool unread does not work"], started=before["started"])
    assert "NOT READY: redis pool unread does not work" in difference(before, after)
    assert difference(before, status(1.0, pid=8)) == "the proxy has been started anew"


def test_top_prints_nothing_for_its_first_snapshot_and_asks_for_one_more() -> None:
    view = Top()
    options = argparse.Namespace(interval=1.0, count=2)
    assert view.request(options) == {"interval": 1.0, "count": 3}
    assert view.request(argparse.Namespace(interval=1.0, count=0))["count"] == 0
    show = view.printer(options)
    assert show(status(10.0)) == ""
    assert show(status(12.0)) != ""


def lines_of(item: dict[str, Any]) -> dict[str, str]:
    return {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in Status().text(item).splitlines() if "  " in line}


def test_status_tells_the_state_in_words() -> None:
    shown = lines_of(status(3600.0))
    assert shown["proxy"] == "1.2.0, pid 7, 127.0.0.1:10600"
    assert shown["state"] == "serving, ready"
    assert shown["requests"] == "180000 answered, 0 refused, 0 dropped, 0 unreadable"
    assert shown["workers"] == "0 of 8 busy, 0 batches, 2.0 requests a batch"
    assert shown["pools"] == "all 2 work"
    assert "replicas" not in shown
    replica = {"server": "db:3307", "state": "left_out", "reason": "stopped", "fresh_by": "gtid", "lag": 2.5, "in_use": 0, "reads": 7}
    shown = lines_of(status(0.0, replication={"lag": 2.5, "replicas": [replica], "master_reads": {}}))
    assert shown["replicas"] == "db:3307 left out, 2.50s behind, 7 reads: stopped"


def test_status_tells_what_does_not_work_and_the_last_warnings() -> None:
    item = status(60.0, ready=False, reasons=["mysql pool teamtalk_master does not work: away"])
    item["pools"][0]["works"] = False
    item["log"]["warnings"] = [{"time": 0.0, "level": "warning", "text": f"number {n}"} for n in range(9)]
    text = Status().text(item)
    assert "serving, not ready:\n             mysql pool teamtalk_master does not work: away\n" in text
    assert "teamtalk_master do not work" in text
    assert [f"number {n}" in text for n in range(9)] == [False] * 4 + [True] * 5


def test_status_tells_what_the_servers_are_and_which_promises_do_not_hold() -> None:
    limitations = [
        {"name": "durability", "text": "sync_binlog is 0", "breaks_promise": True},
        {"name": "asynchronous", "text": "the replication is asynchronous", "breaks_promise": False},
    ]
    backend = {"kind": "mysql", "server": "db:3306", "pools": ["teamtalk_master"], "engine": "MariaDB", "version": "10.11.19"}
    text = Status().text(status(60.0, backends=[backend | {"topology": "primary", "description": "primary", "limitations": limitations}]))
    assert "backends     MariaDB 10.11.19 at db:3306: primary\n             ! sync_binlog is 0\n" in text
    assert "asynchronous" not in text


def test_pools_show_their_failures() -> None:
    item = status(10.0)
    item["pools"][1] |= {"works": False, "last_failure": "connection refused", "failures": {"connect": 3, "no_connection": 2, "lost": 0}}
    heading, master, unread, failure = Pools().text(item).splitlines()
    assert heading.split()[:5] == ["pool", "kind", "server", "works", "in"]
    assert master.split() == ["teamtalk_master", "mysql", "db:3306", "yes", "1", "2", "16", "0", "0", "0us", "500", "1.0ms", "3", "0"]
    assert unread.split()[3] == "no"
    assert unread.split()[-1] == "5"
    assert failure == "unread: 3 connect, 2 no connection; the last: connection refused"


def test_slow_requests_are_listed_with_ids_and_times() -> None:
    show = Slow().printer(argparse.Namespace())
    assert show({"slow": []}) == "no request was slow"
    _, line = show({"slow": [SLOW]}).splitlines()
    assert line.split("  ")[1:5] == ["CID_MSG_DATA", "10.0.0.1:5", "user=1 session=2", "select IMUser"]
    assert line.split()[-6:] == ["4", "500.0ms", "1.25s", "1.00s", "1.0ms", "0us"]


def test_connections_are_listed_with_how_many_there_are() -> None:
    item = {"total": 7, "connections": [connection(1), connection(2, reading=False, backlog=2048)]}
    heading, first, second, last = Connections().text(item).splitlines()
    assert heading.split()[0] == "peer"
    assert first.split() == ["10.0.0.1:1", "1", "5.00s", "500.0ms", "0", "0", "0B", "0B", "0B", "0B", "yes"]
    assert second.split()[-3:] == ["2.0KiB", "0B", "no"]
    assert last == "2 of 7 connections"
