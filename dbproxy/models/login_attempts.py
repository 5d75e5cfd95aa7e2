"""LoginAttempts: counts failed logins; too many lock an account, or a name that no account has, for a while. Any thread."""

from __future__ import annotations

import enum
import hashlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

MAX_FAILURES = 10
"""More failures than this within ``WINDOW`` lock it."""

WINDOW = 30 * 60.0
"""Seconds after which a failure no longer counts."""

MAX_NAMES = 100_000
"""Unknown names whose failures are stored: bounds the memory, since an attacker can send any number of them."""

LONGEST_NAME = 256
"""Bytes of a name up to which it is stored itself; of longer ones a digest is."""

Subject = int | str | bytes
"""What failures are counted for: the user id of an account, or a name that no account has."""

_Name = str | bytes | tuple[bytes]
_Key = TypeVar("_Key", int, _Name)
_Failures = list[float]
"""Times of failures, oldest first: at most one more than lock it, because attempts on a locked subject are not counted."""


class Outcome(enum.Enum):
    """The result of one attempt to log in."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    LOCKED = enum.auto()


class LoginAttempts:
    """The failures of each account and of each unknown name within the last 30 minutes, in the memory of this process as in the original.

    An account is counted by its id, because the database finds it under more than one spelling of its name. The number of accounts bounds
    the memory for them, so no account is evicted in favour of another. Unknown names are bounded by ``MAX_NAMES``: a new one evicts the one
    that is not locked and whose last failure is oldest; if all of them are locked, the new one is not stored.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_failures: int = MAX_FAILURES) -> None:
        self._clock = clock
        self._max_failures = max_failures
        self._lock = threading.Lock()
        # Each in the order of the last failures.
        self._accounts: dict[int, _Failures] = {}
        self._names: dict[_Name, _Failures] = {}
        self._locked_names: dict[_Name, _Failures] = {}

    def __len__(self) -> int:
        """The number of accounts and names with failures."""
        with self._lock:
            return len(self._accounts) + len(self._names) + len(self._locked_names)

    def is_locked(self, subject: Subject) -> bool:
        """Whether a subject is locked, so that an attempt need not be checked."""
        if not isinstance(subject, int) and not self._locked_names:  # as nearly always: not worth the lock
            return False
        with self._lock:
            return len(self._recent(subject, self._clock())) > self._max_failures

    def attempt(self, subject: Subject, right: bool) -> Outcome:
        """Decide about one attempt and count it, atomically: a failure is added, a success deletes the failures before it.

        While a subject is locked, the right password is refused as well, and nothing is counted.
        """
        if right and isinstance(subject, int) and subject not in self._accounts:  # as nearly always: nothing to delete
            return Outcome.RIGHT
        with self._lock:
            now = self._clock()
            failures = self._recent(subject, now)
            if len(failures) > self._max_failures:
                return Outcome.LOCKED
            self._delete(subject)
            if right:
                return Outcome.RIGHT
            failures.append(now)
            if isinstance(subject, int):
                self._drop_expired(now)
                self._accounts[subject] = failures
            elif self._make_room(now):
                (self._locked_names if len(failures) > self._max_failures else self._names)[_name(subject)] = failures
            return Outcome.WRONG

    def _recent(self, subject: Subject, now: float) -> _Failures:
        """The failures of a subject within ``WINDOW``; a subject without any is deleted."""
        if isinstance(subject, int):
            failures = self._accounts.get(subject)
        else:
            name = _name(subject)
            failures = self._names.get(name) or self._locked_names.get(name)
        if failures is None:
            return []
        while failures and failures[0] < now - WINDOW:
            del failures[0]
        if not failures:
            self._delete(subject)
        return failures

    def _delete(self, subject: Subject) -> None:
        if isinstance(subject, int):
            self._accounts.pop(subject, None)
        else:
            name = _name(subject)
            self._names.pop(name, None)
            self._locked_names.pop(name, None)

    def _make_room(self, now: float) -> bool:
        """Evict a name if there are too many for one more; False when all of them are locked."""
        self._drop_expired(now)
        if len(self._names) + len(self._locked_names) >= MAX_NAMES:
            if not self._names:
                return False
            del self._names[next(iter(self._names))]
        return True

    def _drop_expired(self, now: float) -> None:
        """Delete all whose last failure is too old. Each is checked once, apart from the first of each table."""
        _delete_expired(self._accounts, now - WINDOW)
        _delete_expired(self._names, now - WINDOW)
        _delete_expired(self._locked_names, now - WINDOW)


def _delete_expired(table: dict[_Key, _Failures], oldest: float) -> None:
    while table:
        first = next(iter(table))
        if table[first][-1] >= oldest:
            return
        del table[first]


def _name(name: str | bytes) -> _Name:
    """The key for a name: itself, or a digest if it is longer than ``LONGEST_NAME``."""
    encoded = name if isinstance(name, bytes) else name.encode()
    return name if len(encoded) <= LONGEST_NAME else (hashlib.sha256(encoded).digest(),)
