"""A status of a proxy as /status.json has it, for pages that are tested without one."""

from __future__ import annotations

import time
from typing import Any

BOUNDS = [0.001, 0.01, 0.1, 1.0]


def histogram(*buckets: int) -> dict[str, Any]:
    """Return a histogram with these buckets; the sum is of no importance."""
    return {"count": sum(buckets), "sum": sum(buckets) / 100, "buckets": list(buckets)}


def status(uptime: float, **changes: Any) -> dict[str, Any]:
    """Return the status of a proxy that has answered 50 requests a second since its start; ``changes`` replace parts of it."""
    number = int(uptime * 50)
    counted = {"answered": number, "refused": 0, "dropped": 0, "unreadable": 0}
    pool = {"server": "db:3306", "in_use": 1, "idle": 2, "limit": 16, "waiting": 0, "waits": 0, "wait_seconds": 0.0, "connects": 3}
    failures = {"connect": 0, "timeout": 0, "lost": 0, "refused": 0, "no_connection": 0}
    pool |= {"calls": number, "seconds": number / 1000, "failures": failures, "works": True, "last_failure": None}
    connections = dict.fromkeys(("accepted", "refused", "closed", "backlog_bytes", "pending_bytes", "pauses"), 0)
    connections |= {"open": 3, "limit": 100, "reading_paused": False, "pdus_in": number, "pdus_out": number}
    connections |= {"bytes_in": number * 100, "bytes_out": number * 200}
    queues = dict.fromkeys(("waiting", "waiting_bytes", "oldest", "held", "held_bytes"), 0)
    return {
        "time": time.time(),
        "version": "1.2.0",
        "pid": 7,
        "started": time.time() - uptime,
        "uptime": uptime,
        "listen": ["127.0.0.1:10600"],
        "state": "serving",
        "ready": True,
        "reasons": [],
        "reactor": {"last_turn_age": 0.1},
        "bounds": {"seconds": BOUNDS, "batch": [1, 2, 4]},
        "requests": {
            "CID_MSG_DATA": {**counted, "waiting": histogram(number, 0, 0, 0, 0), "working": histogram(0, number, 0, 0, 0)},
            "CID_OTHER_VALIDATE_REQ": {
                **dict.fromkeys(counted, 0),
                "waiting": histogram(0, 0, 0, 0, 0),
                "working": histogram(0, 0, 0, 0, 0),
            },
        },
        "batches": {"active": 0, "sizes": {"count": number, "sum": number * 2, "buckets": [0, number, 0, 0]}},
        "queues": {**queues, "limit": 20000, "limit_bytes": 2**26, "by_queue": []},
        "workers": {"threads": 8, "busy": 0},
        "responses": {"unsent_bytes": 0, "limit_bytes": 2**26},
        "connections": connections,
        "pools": [{"kind": "mysql", "name": "teamtalk_master", **pool}, {"kind": "redis", "name": "unread", **pool}],
        "backends": [],
        "file_server": {"calls": 0, "seconds": 0.0, "failures": 0},
        "recoveries": {"ids": 0, "members": 0, "counters": 0},
        "group_sync": {"lag": 1.5, "failures": 0},
        "replication": {"lag": None, "replicas": [], "master_reads": {}},
        "log": {"dropped": 0, "warnings": []},
        "slow": [],
    } | changes


def connection(uuid: int, **changes: Any) -> dict[str, Any]:
    """Return an entry of /connections.json."""
    numbers = dict.fromkeys(("pdus_in", "pdus_out", "bytes_in", "bytes_out", "backlog", "pending"), 0)
    return {"uuid": uuid, "peer": f"10.0.0.1:{uuid}", "age": 5.0, "idle": 0.5, **numbers, "reading": True} | changes
