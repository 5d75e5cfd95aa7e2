"""The evening, when traffic and faults are over: the questions whether everything is there and everything agrees."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from dbproxy.audit import Report, Severity, audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.requests import GROUP
from dbproxy.testing.soak import ledger
from dbproxy.testing.soak.leaks import GROWTH_LIMIT as GROWTH_LIMIT
from dbproxy.testing.soak.ledger import Ledger, shortened
from dbproxy.testing.soak.writers import GROUPS, USERS, members_of
from dbproxy.testing.stack import Stack

T = TypeVar("T")

SETTLE_LIMIT = 10.0
"""Seconds that leftovers (connections of peers that have gone, abandoned sessions) may take to go."""

FRESH_MESSAGES = 3

_LEVEL = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL) ", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"


def settled(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Look until it is good or ``SETTLE_LIMIT`` is over; what was seen last."""
    deadline = time.monotonic() + SETTLE_LIMIT
    while not good(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


def check_messages(stack: Stack, ledgers: list[Ledger]) -> list[str]:
    """Every acknowledged message is there, once, with its id and content, in the order of its connection."""
    return ledger.check(stack, ledgers)


def check_counters(stack: Stack, proxies: Sequence[ProxyProcess]) -> list[str]:
    """Unread counters are not above what is stored; once read, they count exactly what comes."""
    return shortened([*_too_high(stack), *_count_exactly(proxies)])


def _too_high(stack: Stack) -> list[str]:
    written: Counter[tuple[int, int]] = Counter()
    for row in ledger.stored_messages(stack):
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


def _count_exactly(proxies: Sequence[ProxyProcess]) -> list[str]:
    problems = []
    for number, proxy in enumerate(proxies):
        with proxy.client() as client:
            sender, receiver = USERS[number], USERS[number + 2]
            group_id = GROUPS[number]
            writer, reader = members_of(group_id)[:2]
            client.read_ack(receiver, sender)
            client.send_group_message(writer, group_id, "wakes up the counter")
            client.read_ack(reader, group_id, GROUP)
            settled(lambda: {entry.session_id for entry in client.unread(reader).unreadinfo_list}, lambda ids: group_id not in ids)  # noqa: B023
            settled(lambda: {entry.session_id for entry in client.unread(receiver).unreadinfo_list}, lambda ids: sender not in ids)  # noqa: B023
            for _ in range(FRESH_MESSAGES):
                client.send_message(sender, receiver, "fresh")
                client.send_group_message(writer, group_id, "fresh")
            for user_id, session_id, kind in ((receiver, sender, 1), (reader, group_id, 2)):
                entries = client.unread(user_id).unreadinfo_list
                counted = [entry.unread_cnt for entry in entries if (entry.session_id, entry.session_type) == (session_id, kind)]
                if counted != [FRESH_MESSAGES]:
                    problems.append(f"user {user_id} has {counted} of session {session_id} unread instead of {FRESH_MESSAGES}")
    return problems


def check_stores(proxy: ProxyProcess, notes: list[str]) -> list[str]:
    """The audit: nothing but what the proxies put right when they come by, and that can be repaired."""
    with open_stores(load_config(proxy.config_path)) as stores:
        first, second, third = audit(stores), audit(stores, repair=True), audit(stores)
    notes.append(f"audit: {_kinds(first) or 'clean'}")
    problems = [
        f"audit: {entry.finding.kind}: {entry.finding.where}: {entry.finding.what}"
        for entry in first.entries
        if entry.finding.severity is not Severity.MINOR
    ]
    if second.left or third.found:
        problems.append(f"after the repair the audit still finds {_kinds(third)}")
    return shortened(problems)


def _kinds(report: Report) -> str:
    return ", ".join(f"{count.found} {kind} ({count.severity.value})" for kind, count in report.counts.items())


def mysql_connections(stack: Stack) -> int:
    """Connections of the proxies that the server knows of."""
    rows = stack.rows(
        "select count(*) as n from information_schema.processlist where user=%s and id<>connection_id()", (stack.mariadb.user,)
    )
    return int(str(rows[0]["n"]))


def check_logs(proxies: Sequence[ProxyProcess], notes: list[str]) -> list[str]:
    """No proxy was surprised by anything."""
    problems = []
    for proxy in proxies:
        log = proxy.log()
        levels = Counter(_LEVEL.findall(log))
        notes.append(f"log of {proxy.directory.name}: {len(log.splitlines())} lines, {dict(levels)}")
        surprised = [line for line in log.splitlines() if _TRACEBACK in line]
        problems += [f"{proxy.directory.name}: {line[:300]} ... {line[-300:]}" for line in surprised]
    return shortened(problems)
