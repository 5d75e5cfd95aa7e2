"""The audit itself: all checks, one after the other, and what is done about their findings. One thread."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from dbproxy.audit.counters import GroupCounters, Unread
from dbproxy.audit.devices import Devices
from dbproxy.audit.finding import Entry, Finding, Outcome, Report
from dbproxy.audit.members import Membership, UserCount
from dbproxy.audit.messages import GroupMessages, Messages
from dbproxy.audit.relations import DuplicateRelations, DuplicateSessions
from dbproxy.audit.walk import SETTLE, Stores
from dbproxy.config import Config
from dbproxy.errors import DeadlockError
from dbproxy.stores.mysql import DBManager
from dbproxy.stores.redis import CacheManager

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT = 600.0
"""Seconds: a portion of a huge conversation may take longer than a proxy would ever wait."""

ATTEMPTS = 5
"""How often a repair is begun when the database makes it the victim of a deadlock."""


class Check(Protocol):
    """One thing to look at."""

    title: str

    def run(self) -> Iterator[Finding]:
        """Look; the findings one by one. Raises StoreError when a backend fails."""


CHECKS: tuple[Callable[[Stores], Check], ...] = (
    Messages,
    GroupMessages,
    DuplicateRelations,
    DuplicateSessions,
    Membership,
    UserCount,
    Unread,
    GroupCounters,
    Devices,
)
"""Lost relations come back before those that stand twice are looked at, and members before the counters that depend on them."""


class Watcher(Protocol):
    """Who wants to know how an audit goes on."""

    def checking(self, title: str) -> None:
        """A check begins."""

    def checked(self, title: str, found: int, seconds: float) -> None:
        """It is done."""

    def entry(self, entry: Entry) -> None:
        """Something was found, and perhaps mended."""


@contextmanager
def open_stores(config: Config, settle: float = SETTLE) -> Iterator[Stores]:
    """Connect to what ``config`` names, for the length of the block.

    Raises:
        StartupError: a backend cannot be used; the message names instance, host, port and keys.

    """
    patient = dataclasses.replace(config, db_timeout=max(config.db_timeout, STATEMENT_TIMEOUT))
    databases, caches = DBManager(patient), CacheManager(patient)
    try:
        caches.open()
        databases.open()
        yield Stores(databases, caches, config.db_lock_timeout, settle)
    finally:
        databases.close()
        caches.close()


def audit(stores: Stores, *, repair: bool = False, report: Report | None = None, watcher: Watcher | None = None) -> Report:
    """Look at everything and, with ``repair``, mend what can be mended; proxies may be at work all the time.

    Raises:
        StoreError: a backend failed; what was found before is in ``report``.

    """
    report = Report() if report is None else report
    for create in CHECKS:
        check = create(stores)
        if watcher is not None:
            watcher.checking(check.title)
        began, before = time.monotonic(), report.found
        for finding in check.run():
            outcome, done = _mend(finding) if repair else (Outcome.LEFT, "")
            entry = report.add(finding, outcome, done)
            if watcher is not None and entry is not None:
                watcher.entry(entry)
        if watcher is not None:
            watcher.checked(check.title, report.found - before, time.monotonic() - began)
    return report


def _mend(finding: Finding) -> tuple[Outcome, str]:
    if finding.mend is None:
        return Outcome.LEFT, ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            done = finding.mend()
        except DeadlockError as error:
            if attempt == ATTEMPTS:
                return Outcome.LEFT, f"not repaired: {error}"
            time.sleep(random.uniform(0, 0.05 * attempt))
        else:
            return (Outcome.GONE, "") if done is None else (Outcome.REPAIRED, done)
    raise AssertionError("unreachable")
