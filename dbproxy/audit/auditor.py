"""The audit: runs all checks in order and repairs their findings. One thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from dbproxy.audit.counters import GroupCounters, Unread
from dbproxy.audit.devices import Devices
from dbproxy.audit.finding import Entry, Finding, Outcome, Report
from dbproxy.audit.members import Membership, UserCount
from dbproxy.audit.messages import GroupMessages, Messages
from dbproxy.audit.relations import DuplicateRelations, DuplicateSessions
from dbproxy.audit.walk import RECHECK_DELAY, AuditBackends
from dbproxy.config import Config
from dbproxy.errors import DeadlockError

logger = logging.getLogger(__name__)


class Check(Protocol):
    """One kind of consistency check."""

    title: str

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""


CHECKS: tuple[Callable[[AuditBackends], Check], ...] = (
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
"""In this order: lost relations are restored before duplicates are searched for, and members before the counters that depend on them."""


class ProgressListener(Protocol):
    """Is told about the progress of an audit."""

    def checking(self, title: str) -> None:
        """Called when a check begins."""

    def checked(self, title: str, found: int, seconds: float) -> None:
        """Called when a check is done; ``seconds`` is how long it took."""

    def entry(self, entry: Entry) -> None:
        """Called for each finding that the report keeps, after its repair."""


def open_stores(config: Config, recheck_delay: float = RECHECK_DELAY) -> AuditBackends:
    """Return the backends that ``config`` names; they are connected for the length of a ``with`` block.

    Raises:
        StartupError: from the ``with`` statement, when a backend cannot be used; the message names instance, host, port and keys.

    """
    return AuditBackends(config, recheck_delay)


def audit(
    backends: AuditBackends, *, repair: bool = False, report: Report | None = None, listener: ProgressListener | None = None
) -> Report:
    """Run all checks and, with ``repair``, repair what can be repaired; proxies may be running meanwhile.

    Raises:
        StoreError: a backend failed; what was found before is in ``report``.

    """
    report = Report() if report is None else report
    for create in CHECKS:
        check = create(backends)
        if listener is not None:
            listener.checking(check.title)
        began, before = time.monotonic(), report.found
        for finding in check.run():
            outcome, done = _repair(finding) if repair else (Outcome.LEFT, "")
            entry = report.add(finding, outcome, done)
            if listener is not None and entry is not None:
                listener.entry(entry)
        if listener is not None:
            listener.checked(check.title, report.found - before, time.monotonic() - began)
    return report


def _repair(finding: Finding) -> tuple[Outcome, str]:
    if finding.repair is None:
        return Outcome.LEFT, ""
    try:
        done = finding.repair()
    except DeadlockError as error:
        return Outcome.LEFT, f"not repaired: {error}"
    return (Outcome.GONE, "") if done is None else (Outcome.REPAIRED, done)
