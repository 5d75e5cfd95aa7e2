"""Findings and where they are collected. No I/O; one thread."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from dbproxy.config import Config
from dbproxy.doctor.kinds import Kind

_SENT = re.compile(r",? with args beginning with:.*", re.DOTALL)
"""Where Redis repeats what it was sent."""


class Level(IntEnum):
    """How bad a finding is; a higher number is worse."""

    OK = 0
    """Checked, and in order."""
    INFO = 1
    """In order, but somebody who runs the installation should know it."""
    WARNING = 2
    """Works, and will fail, lose data or become slow under conditions that do occur."""
    ERROR = 3
    """The proxy does not start, or requests fail, or data is lost in normal operation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of the examination."""

    level: Level
    subject: str
    """What was examined: ``MySQL teamtalk_master``."""
    kind: Kind
    what: str
    """What was found."""
    remedy: str
    """What to do about it; empty where there is nothing to do."""

    def as_json(self) -> dict[str, str]:
        """Return what ``--json`` prints."""
        return {
            "level": self.level.name.lower(),
            "subject": self.subject,
            "kind": self.kind.value,
            "what": self.what,
            "remedy": self.remedy,
        }


class Findings:
    """All findings of an examination, in the order in which they were made. ``listener`` is told each.

    No password of ``config`` gets into a finding: servers do repeat what they were sent, as Redis does in "unknown command 'AUTH', with
    args beginning with ...".
    """

    def __init__(self, config: Config, listener: Callable[[Finding], None] | None = None) -> None:
        self.all: list[Finding] = []
        self._listener = listener
        secrets = {config.aes_key, *(instance.password for instance in config.db_instances.values())}
        secrets |= {secret for instance in config.cache_instances.values() for secret in (instance.password, instance.sentinel_password)}
        either = "|".join(re.escape(secret) for secret in sorted(secrets - {""}, key=len, reverse=True))
        self._secret = re.compile(rf"(?<!\w)(?:{either})(?!\w)")

    def about(self, subject: str) -> Subject:
        """Return where findings about ``subject`` are added."""
        return Subject(self, subject)

    def add(self, finding: Finding) -> None:
        """Keep a finding and tell the listener."""
        self.all.append(finding)
        if self._listener is not None:
            self._listener(finding)

    def without_secrets(self, text: str) -> str:
        """Return what another program says, without passwords; those of one word that are part of a longer one are not recognised."""
        return self._secret.sub("***", _SENT.sub("", text))


class Subject:
    """Adds findings about one backend, or about one topic of this host."""

    def __init__(self, findings: Findings, name: str) -> None:
        self._findings = findings
        self.name = name

    def ok(self, kind: Kind, what: str) -> None:
        """Add: checked, and in order."""
        self._add(Level.OK, kind, what)

    def info(self, kind: Kind, what: str, remedy: str = "") -> None:
        """Add what somebody should know."""
        self._add(Level.INFO, kind, what, remedy)

    def warning(self, kind: Kind, what: str, remedy: str) -> None:
        """Add what fails under conditions that do occur."""
        self._add(Level.WARNING, kind, what, remedy)

    def error(self, kind: Kind, what: str, remedy: str) -> None:
        """Add what fails now."""
        self._add(Level.ERROR, kind, what, remedy)

    def add(self, level: Level, kind: Kind, what: str, remedy: str = "") -> None:
        """Add a finding whose level depends on something."""
        self._add(level, kind, what, remedy)

    def foreign(self, text: object) -> str:
        """Return what another program says as one line, without passwords."""
        return " ".join(self._findings.without_secrets(str(text)).split())

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn an error that nobody foresaw into a finding, so that the other checks take place. Its text is left out: it may hold
        anything.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = "" if place is None else f" in {place.tb_frame.f_code.co_name}, line {place.tb_lineno}"
            self.error(
                Kind.UNEXPECTED,
                f"the check ended with {type(error).__name__}{where}; the rest of it was not done",
                "this is a defect of dbproxy-doctor: please report it, with this line",
            )

    def _add(self, level: Level, kind: Kind, what: str, remedy: str = "") -> None:
        self._findings.add(Finding(level, self.name, kind, what, remedy))


def listed(values: Iterable[object], most: int = 8) -> str:
    """Return the first ``most`` values as text, followed by the number of the others."""
    items = [str(value) for value in values]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
