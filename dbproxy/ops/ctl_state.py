"""How dbproxy-ctl shows the state of a proxy: status, pools, slow requests, connections. The structure is that of /status.json."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from dbproxy.net.connection_counters import SortKey
from dbproxy.ops.commands.defaults import LISTED_CONNECTIONS
from dbproxy.ops.ctl_tables import clock, date, pairs, printable, seconds, size, table
from dbproxy.ops.ctl_view import Item, View

OUTCOMES = ("answered", "refused", "dropped", "unreadable")

LAST_WARNINGS = 5
"""Warnings of the log that ``status`` shows."""


class Status(View):
    """``status``."""

    name = "status"
    help = "show what the proxy does, how much waits, and whether its backends work"

    def text(self, item: Item) -> str:
        """See View."""
        connections, queues, workers = item["connections"], item["queues"], item["workers"]
        totals = {outcome: sum(command[outcome] for command in item["requests"].values()) for outcome in OUTCOMES}
        sizes = item["batches"]["sizes"]
        average = sizes["sum"] / sizes["count"] if sizes["count"] else 0.0
        ready = "ready" if item["ready"] else "not ready:"
        paused = ", reading is paused" if connections["reading_paused"] else ""
        rows = [
            ("proxy", f"{item['version']}, pid {item['pid']}, {', '.join(item['listen'])}"),
            ("started", f"{date(item['started'])}, {seconds(item['uptime'])} ago"),
            ("state", f"{item['state']}, {ready}"),
            *(("", reason) for reason in ([] if item["ready"] else item["reasons"])),
            ("reactor", f"last turn {seconds(item['reactor']['last_turn_age'])} ago"),
            ("requests", ", ".join(f"{count} {outcome}" for outcome, count in totals.items())),
            (
                "queues",
                _waiting(queues),
            ),
            ("held", f"{queues['held']} ({size(queues['held_bytes'])}) until their peers have read"),
            (
                "workers",
                f"{workers['busy']} of {workers['threads']} busy, {item['batches']['active']} batches, {average:.1f} requests a batch",
            ),
            ("connections", f"{connections['open']} of {connections['limit']}{paused}"),
            ("", f"{connections['accepted']} accepted, {connections['refused']} refused, {connections['closed']} closed"),
            ("in", f"{connections['pdus_in']} PDUs, {size(connections['bytes_in'])}"),
            ("out", f"{connections['pdus_out']} PDUs, {size(connections['bytes_out'])}"),
            ("unsent", f"{size(item['responses']['unsent_bytes'])} of {size(item['responses']['limit_bytes'])}"),
            ("pools", _pools_in_short(item)),
            *_backends(item["backends"]),
            ("file server", f"{item['file_server']['calls']} calls, {item['file_server']['failures']} failures"),
            ("recoveries", ", ".join(f"{name} {count}" for name, count in item["recoveries"].items())),
            ("group sync", f"last complete run {seconds(item['group_sync']['lag'])} ago, {item['group_sync']['failures']} failures"),
        ]
        rows += [("" if index else "replicas", _replica(replica)) for index, replica in enumerate(item["replication"]["replicas"])]
        rows.append(("log", f"{item['log']['dropped']} lines dropped"))
        rows += [("" if index else "warnings", _warning(warning)) for index, warning in enumerate(item["log"]["warnings"][-LAST_WARNINGS:])]
        return pairs(rows)


def _waiting(queues: Mapping[str, Any]) -> str:
    waiting = f"{queues['waiting']} of {queues['limit']} requests wait ({size(queues['waiting_bytes'])})"
    return f"{waiting}, the oldest for {seconds(queues['oldest'])}" if queues["waiting"] else waiting


def _replica(replica: Mapping[str, Any]) -> str:
    lag = "lag unknown" if replica["lag"] is None else f"{seconds(replica['lag'])} behind"
    reason = f": {replica['reason']}" if replica["reason"] else ""
    return f"{replica['server']} {replica['state'].replace('_', ' ')}, {lag}, {replica['reads']} reads{reason}"


def _pools_in_short(item: Item) -> str:
    broken = [pool["name"] for pool in item["pools"] if not pool["works"]]
    return f"{', '.join(broken)} do not work" if broken else f"all {len(item['pools'])} work"


def _backends(backends: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What each server is, and what is not promised on it although a promise says so; ``status --json`` has the other limitations."""
    for index, backend in enumerate(backends):
        server = f"{backend['engine']} {backend['version']} at {backend['server']}: {backend['description']}"
        yield "" if index else "backends", printable(server)
        yield from (("", printable(f"! {one['text']}")) for one in backend["limitations"] if one["breaks_promise"])


def _warning(warning: Mapping[str, Any]) -> str:
    return f"{date(warning['time'])} {warning['level']}: {warning['text']}"


class Pools(View):
    """``pools``."""

    name = "pools"
    help = "show the pools of connections to MySQL and Redis"

    def text(self, item: Item) -> str:
        """See View."""
        state = ("works", "in use", "idle", "limit", "waiting")
        headings = ("pool", "kind", "server", *state, "waits", "waited", "calls", "per call", "connects", "failures")
        rows = [
            (
                pool["name"],
                pool["kind"],
                pool["server"],
                "yes" if pool["works"] else "no",
                pool["in_use"],
                pool["idle"],
                pool["limit"],
                pool["waiting"],
                pool["waits"],
                seconds(pool["wait_seconds"]),
                pool["calls"],
                seconds(pool["seconds"] / pool["calls"]) if pool["calls"] else "-",
                pool["connects"],
                sum(pool["failures"].values()),
            )
            for pool in item["pools"]
        ]
        failures = [f"{pool['name']}: {_failures(pool)}" for pool in item["pools"] if pool["last_failure"]]
        moved = [pool for pool in item["pools"] if pool.get("failovers")]
        failures += [f"{pool['name']}: turned to another server {pool['failovers']} times" for pool in moved]
        return "\n".join([table(headings, rows, left=4), *failures, *_replicas(item["replication"])])


def _replicas(replication: Mapping[str, Any]) -> list[str]:
    """The replicas of teamtalk_slave, and how often the master was read from instead; nothing where they are one server."""
    if not replication["replicas"]:
        return []
    headings = ("replica", "state", "fresh by", "lag", "at work", "reads", "why")
    rows = [
        (
            replica["server"],
            replica["state"].replace("_", " "),
            replica["fresh_by"],
            "-" if replica["lag"] is None else seconds(replica["lag"]),
            replica["in_use"],
            replica["reads"],
            replica["reason"] or "-",
        )
        for replica in replication["replicas"]
    ]
    instead = ", ".join(f"{why.replace('_', ' ')} {count}" for why, count in replication["master_reads"].items())
    return ["", table(headings, rows, left=3), f"reads that the master took: {instead}"]


def _failures(pool: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in pool["failures"].items() if count)
    return f"{kinds}; the last: {pool['last_failure']}"


class Slow(View):
    """``slow``."""

    name = "slow"
    help = "show the last requests that took longer than SlowRequest"

    def printer(self, options: argparse.Namespace) -> Callable[[Item], str]:
        """See View."""
        headings = ("time", "command", "peer", "ids", "longest call", "batch", "waited", "worked", "MySQL", "Redis", "file server")
        rows: list[tuple[object, ...]] = []

        def show(item: Item) -> str:
            rows.extend(_slow_rows(item))
            return table(headings, rows, left=5) if rows else "no request was slow"

        return show

    def text(self, item: Item) -> str:
        """See View."""
        return ""


def _slow_rows(item: Item) -> Iterator[tuple[object, ...]]:
    for slow in item["slow"]:
        names = (("user", "user_id"), ("group", "group_id"), ("session", "session_id"))
        ids = " ".join(f"{name}={slow[key]}" for name, key in names if slow.get(key) is not None)
        times = (slow[key] for key in ("waited", "worked", "mysql", "redis", "file_server"))
        statement = slow["statement"] or "-"
        yield (clock(slow["time"]), slow["command"], slow["peer"], ids or "-", statement, slow["batch"], *map(seconds, times))


class Connections(View):
    """``connections``."""

    name = "connections"
    help = "show the connections of peers"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See View."""
        parser.add_argument(
            "--sort", choices=get_args(SortKey), default="backlog", help="those with the most of this first (default: %(default)s)"
        )
        most = "how many at most (default: %(default)s)"
        parser.add_argument("--limit", metavar="N", type=int, default=LISTED_CONNECTIONS, help=most)

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        """See View."""
        return {"sort": options.sort, "limit": options.limit}

    def text(self, item: Item) -> str:
        """See View."""
        headings = ("peer", "uuid", "age", "idle", "PDUs in", "out", "bytes in", "out", "backlog", "pending", "read from")
        rows = [
            (
                shown["peer"],
                shown["uuid"],
                seconds(shown["age"]),
                seconds(shown["idle"]),
                shown["pdus_in"],
                shown["pdus_out"],
                size(shown["bytes_in"]),
                size(shown["bytes_out"]),
                size(shown["backlog"]),
                size(shown["pending"]),
                "yes" if shown["reading"] else "no",
            )
            for shown in item["connections"]
        ]
        return "\n".join([table(headings, rows), f"{len(rows)} of {item['total']} connections"])
