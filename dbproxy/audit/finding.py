"""What an audit says: findings, and the report that counts them. Pure; one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    SEVERE = "severe"
    """Messages cannot be stored, cannot be found, or cannot be told apart."""
    WRONG = "wrong"
    """Somebody sees something that is not so, or does not see something that is."""
    MINOR = "minor"
    """Nobody notices, or the proxy puts it right when it comes by."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """A word that stays the same over releases: ``duplicate-session``."""
    severity: Severity
    where: str
    """Which rows or keys."""
    what: str
    """What is wrong with them."""
    remedy: str
    """What ``--repair`` does about it, or why it does nothing."""
    mend: Callable[[], str | None] | None = None
    """Looks again, under the locks that the proxies use, and mends: a sentence about what was done, or None when there was nothing to be
    done any more. Raises StoreError. None: only a human can decide.
    """


class Outcome(Enum):
    """What became of a finding."""

    LEFT = "left"
    REPAIRED = "repaired"
    GONE = "gone"
    """It was no more when it was to be repaired: somebody else was faster."""


@dataclass(slots=True)
class Count:
    """Findings of one kind."""

    severity: Severity
    found: int = 0
    repaired: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding and what became of it; ``done`` says what the repair did."""

    finding: Finding
    outcome: Outcome
    done: str = ""


@dataclass(slots=True)
class Report:
    """Counts everything, and keeps the first ``examples`` findings of each kind, so that a ruined database does not fill the memory."""

    examples: int = 100
    counts: dict[str, Count] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def found(self) -> int:
        """All findings."""
        return sum(count.found for count in self.counts.values())

    @property
    def repaired(self) -> int:
        """Those that were mended, or had gone when they were to be mended."""
        return sum(count.repaired for count in self.counts.values())

    @property
    def left(self) -> int:
        """Those that are still there."""
        return sum(count.left for count in self.counts.values())

    def add(self, finding: Finding, outcome: Outcome, done: str = "") -> Entry | None:
        """Count a finding; the entry if it is one of the examples that are kept."""
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
    """Return the first values of an iterable as text, and how many more there are."""
    items = [str(value) for value in values]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
