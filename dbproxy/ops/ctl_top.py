"""``dbproxy-ctl top``: rates and quantiles from two snapshots, drawn anew on a terminal or one below the other elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbproxy.ops.commands.defaults import TOP_INTERVAL
from dbproxy.ops.ctl_tables import clock, rate, seconds, size, table
from dbproxy.ops.ctl_view import SILENCE, Item, View, finite

CLEAR = "\x1b[H\x1b[2J"
"""Puts the cursor of a terminal at the top and clears it."""


class Top(View):
    """``top``."""

    name = "top"
    help = "show rates, and how long requests wait and are worked on, again and again"
    endless = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """See View."""
        interval = "seconds between two tables (default: %(default)g)"
        parser.add_argument("--interval", metavar="SECONDS", type=finite, default=TOP_INTERVAL, help=interval)
        parser.add_argument("--count", metavar="N", type=int, default=0, help="end after so many tables (default: go on until Ctrl-C)")

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        """See View. A table compares two snapshots, so one more is needed."""
        return {"interval": options.interval, "count": options.count + 1 if options.count else 0}

    def silence(self, options: argparse.Namespace) -> float:
        """See View."""
        return min(float(options.interval), 3600.0) + SILENCE

    def printer(self, options: argparse.Namespace) -> Callable[[Item], str]:
        """See View."""
        before: list[Item] = []
        clear = CLEAR if sys.stdout.isatty() else ""

        def show(item: Item) -> str:
            text = clear + difference(before.pop(), item) + ("" if clear else "\n") if before else ""
            before.append(item)
            return text

        return show

    def text(self, item: Item) -> str:
        """See View."""
        return ""


def difference(before: Item, after: Item) -> str:
    """Return what has happened between two snapshots, as text."""
    passed = max(after["time"] - before["time"], 1e-6)
    if (after["pid"], after["started"]) != (before["pid"], before["started"]):
        return "the proxy has been started anew"
    return "\n".join([_summary(before, after, passed), "", _commands(before, after, passed), "", _pools(before, after, passed)])


def quantile(bounds: Sequence[float], buckets: Sequence[int], share: float) -> float | None:
    """Return the value below which ``share`` of what a histogram counted lies, interpolated within its bucket; None if it counted nothing.
    What is above the last bound counts as that bound.
    """
    count = sum(buckets)
    if count <= 0:
        return None
    wanted, low = share * count, 0.0
    for bound, inside in zip(bounds, buckets, strict=False):
        if inside > 0 and wanted <= inside:
            return low + (bound - low) * wanted / inside
        wanted -= inside
        low = bound
    return low


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> float:
    return float(after[key] - before.get(key, 0))


def _summary(before: Item, after: Item, passed: float) -> str:
    queues, connections, workers = after["queues"], after["connections"], after["workers"]
    sizes, earlier = after["batches"]["sizes"], before["batches"]["sizes"]
    batches = sizes["count"] - earlier["count"]
    average = (sizes["sum"] - earlier["sum"]) / batches if batches else 0.0
    traffic = {key: _grown(before["connections"], connections, key) / passed for key in ("pdus_in", "pdus_out", "bytes_in", "bytes_out")}
    ready = "ready" if after["ready"] else "NOT READY: " + "; ".join(after["reasons"])
    return "\n".join(
        [
            f"{clock(after['time'])}  {after['state']}, {ready}  up {seconds(after['uptime'])}  {connections['open']} connections",
            f"in {rate(traffic['pdus_in'])} PDU/s ({size(traffic['bytes_in'])}/s), out {rate(traffic['pdus_out'])} PDU/s"
            f" ({size(traffic['bytes_out'])}/s), unsent {size(after['responses']['unsent_bytes'])}",
            f"waiting {queues['waiting']} (oldest {seconds(queues['oldest'])}), held {queues['held']},"
            f" workers {workers['busy']}/{workers['threads']}, {rate(batches / passed)} batches/s of {average:.1f}",
        ]
    )


def _commands(before: Item, after: Item, passed: float) -> str:
    bounds = after["bounds"]["seconds"]
    rows = []
    for name, stats in after["requests"].items():
        earlier = before["requests"].get(name, {})
        rates = [_grown(earlier, stats, outcome) / passed for outcome in ("answered", "refused", "dropped", "unreadable")]
        if not any(rates):
            continue
        quantiles = []
        for phase in ("waiting", "working"):
            former = earlier[phase]["buckets"] if phase in earlier else [0] * len(stats[phase]["buckets"])
            buckets = [new - old for new, old in zip(stats[phase]["buckets"], former, strict=True)]
            quantiles += [seconds(quantile(bounds, buckets, share)) for share in (0.5, 0.99)]
        rows.append((sum(rates), (name, *map(rate, rates), *quantiles)))
    rows.sort(key=lambda row: row[0], reverse=True)
    headings = ("command", "answered/s", "refused/s", "dropped/s", "unreadable/s", "wait p50", "p99", "work p50", "p99")
    return table(headings, [row for _, row in rows])


def _pools(before: Item, after: Item, passed: float) -> str:
    former = {pool["name"]: pool for pool in before["pools"]}
    rows = []
    for pool in after["pools"]:
        earlier = former.get(pool["name"], {})
        calls = _grown(earlier, pool, "calls")
        each = seconds(_grown(earlier, pool, "seconds") / calls) if calls > 0 else "-"
        in_use = f"{pool['in_use']}/{pool['limit']}"
        waited = seconds(_grown(earlier, pool, "wait_seconds"))
        rows.append((pool["name"], "yes" if pool["works"] else "NO", rate(calls / passed), each, in_use, pool["waiting"], waited))
    return table(("pool", "works", "calls/s", "per call", "in use", "waiting", "waited"), rows, left=2)
