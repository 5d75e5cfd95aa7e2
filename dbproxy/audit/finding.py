"""The results of an audit: findings, and the report that counts them. No I/O; one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    SEVERE = "severe"
    """Messages cannot be stored, cannot be found, or cannot be told apart."""
    WRONG = "wrong"
    """A user is shown wrong data, or is not shown existing data."""
    MINOR = "minor"
    """Without a visible effect, or corrected by the proxy at the next access."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency."""

    kind: str
    """A name that does not change between releases: ``duplicate-session``."""
    severity: Severity
    where: str
    """Which rows or keys."""
    what: str
    """What is wrong with them."""
    remedy: str
    """What ``--repair`` does about it, or why it does nothing."""
    repair: Callable[[], str | None] | None = None
    """Checks again under the locks that the proxies use, and repairs. Returns what was done, or None when there was nothing left to do.
    Raises StoreError. None instead of a function: an administrator has to decide.
    """


class Outcome(Enum):
    """How a finding was handled."""

    LEFT = "left"
    REPAIRED = "repaired"
    GONE = "gone"
    """It no longer existed when it was to be repaired."""


@dataclass(slots=True)
class Count:
    """Findings of one kind."""

    severity: Severity
    found: int = 0
    repaired: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding and how it was handled; ``done`` says what the repair did."""

    finding: Finding
    outcome: Outcome
    done: str = ""


@dataclass(slots=True)
class Report:
    """Counts all findings and keeps the first ``examples`` of each kind, so that memory stays bounded on a badly damaged database."""

    examples: int = 100
    counts: dict[str, Count] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def found(self) -> int:
        """All findings."""
        return sum(count.found for count in self.counts.values())

    @property
    def repaired(self) -> int:
        """Findings that were repaired, or that no longer existed when they were to be repaired."""
        return sum(count.repaired for count in self.counts.values())

    @property
    def left(self) -> int:
        """Findings that were not repaired."""
        return sum(count.left for count in self.counts.values())

    def add(self, finding: Finding, outcome: Outcome, done: str = "") -> Entry | None:
        """Count a finding; return its entry if it is one of the examples that are kept, otherwise None."""
        count = self.counts.setdefault(finding.kind, Count(finding.severity))
        count.found += 1
        if outcome is Outcome.LEFT:
            count.left += 1
        else:
            count.repaired += 1
        if count.found > self.examples:
            return None
        entry = Entry(finding, outcome, done)
        self.entries.append(entry)
        return entry


def listed(values: Iterable[object], most: int = 10) -> str:
    """Return the first ``most`` values as text, followed by the number of the others."""
    items = [str(value) for value in values]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
