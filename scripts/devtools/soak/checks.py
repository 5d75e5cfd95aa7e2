"""The checks at the end of a soak test: counters, consistency of the data, logs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from dbproxy.audit import Report, Severity, audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing.client import Client
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.requests import GROUP
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import poll
from devtools.soak.message_servers import GROUPS, USERS, members_of
from devtools.verification import shortened, stored_messages

T = TypeVar("T")

SETTLE_LIMIT = 10.0
"""Seconds after which connections of closed clients and of killed sessions must be gone."""

FRESH_MESSAGES = 3

_LEVEL = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL) ", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"


def settled(check: Callable[[], T], accept: Callable[[T], bool]) -> T:
    """Poll until ``accept`` is true for the result of ``check`` or ``SETTLE_LIMIT`` is over; return the last result."""
    return poll(check, accept, SETTLE_LIMIT)


def check_counters(stack: Stack, proxies: Sequence[ProxyProcess]) -> list[str]:
    """Check that unread counters are not above what is stored, and that after a read acknowledgement they count new messages exactly."""
    return shortened([*_check_upper_bounds(stack), *_check_counting(proxies)])


def _check_upper_bounds(stack: Stack) -> list[str]:
    written: Counter[tuple[int, int]] = Counter()
    for row in stored_messages(stack):
        if not row.conversation.to_group:
            one, other = row.conversation.one, row.conversation.other
            written[other if row.sender == one else one, row.sender] += 1
    problems = []
    with stack.redis("unread") as redis:
        for key in redis.scan_iter("unread_*"):
            user_id = int(key.removeprefix("unread_"))
            for sender, count in redis.hgetall(key).items():
                if int(count) > written[user_id, int(sender)]:
                    problems.append(f"{key} says {count} of {sender}, who has written {written[user_id, int(sender)]}")
    return problems


def _check_counting(proxies: Sequence[ProxyProcess]) -> list[str]:
    problems = []
    for number, proxy in enumerate(proxies):
        with proxy.client() as client:
            sender, receiver = USERS[number], USERS[number + 2]
            group_id = GROUPS[number]
            writer, reader = members_of(group_id)[:2]
            client.read_ack(receiver, sender)
            client.send_group_message(writer, group_id, "restores a lost counter")
            client.read_ack(reader, group_id, GROUP)
            _await_read(client, reader, group_id)
            _await_read(client, receiver, sender)
            for _ in range(FRESH_MESSAGES):
                client.send_message(sender, receiver, "fresh")
                client.send_group_message(writer, group_id, "fresh")
            for user_id, session_id, kind in ((receiver, sender, 1), (reader, group_id, 2)):
                entries = client.unread(user_id).unreadinfo_list
                counted = [entry.unread_cnt for entry in entries if (entry.session_id, entry.session_type) == (session_id, kind)]
                if counted != [FRESH_MESSAGES]:
                    problems.append(f"user {user_id} has {counted} of session {session_id} unread instead of {FRESH_MESSAGES}")
    return problems


def _await_read(client: Client, user_id: int, session_id: int) -> None:
    """Wait until nothing of a session is unread."""
    settled(lambda: {entry.session_id for entry in client.unread(user_id).unreadinfo_list}, lambda ids: session_id not in ids)


def check_consistency(proxy: ProxyProcess, notes: list[str], left_to_proxies: frozenset[str]) -> list[str]:
    """Run the audit: it may only find minor inconsistencies, and after a repair none but those that it leaves to the proxies."""
    with open_stores(load_config(proxy.config_path)) as backends:
        first, second, third = audit(backends), audit(backends, repair=True), audit(backends)
    notes.append(f"audit: {_kinds(first) or 'clean'}")
    problems = [
        f"audit: {entry.finding.kind}: {entry.finding.where}: {entry.finding.what}"
        for entry in first.entries
        if entry.finding.severity is not Severity.MINOR
    ]
    if second.left or set(third.counts) - left_to_proxies:
        problems.append(f"after the repair the audit still finds {_kinds(third)}")
    return shortened(problems)


def _kinds(report: Report) -> str:
    return ", ".join(f"{count.found} {kind} ({count.severity.value})" for kind, count in report.counts.items())


def check_logs(proxies: Sequence[ProxyProcess], notes: list[str]) -> list[str]:
    """Check that no proxy has logged a traceback."""
    problems = []
    for proxy in proxies:
        log = proxy.log()
        levels = Counter(_LEVEL.findall(log))
        notes.append(f"log of {proxy.directory.name}: {len(log.splitlines())} lines, {dict(levels)}")
        tracebacks = [line for line in log.splitlines() if _TRACEBACK in line]
        problems += [f"{proxy.directory.name}: {line[:300]} ... {line[-300:]}" for line in tracebacks]
    return shortened(problems)
