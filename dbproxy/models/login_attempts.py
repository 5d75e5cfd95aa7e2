"""How often logins have failed: too many failures lock an account, or a name that is nobody's, for a while. Any thread."""

from __future__ import annotations

import enum
import hashlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

MAX_FAILURES = 10
"""More failures than this within the window, and it is locked."""

WINDOW = 30 * 60.0
"""Seconds after which a failure is forgotten."""

MAX_NAMES = 100_000
"""Names of nobody that are remembered; an attacker can send as many as they like."""

LONGEST_NAME = 256
"""Bytes of a name that is remembered as it is."""

Who = int | str | bytes
"""Whose failures are counted: the user id of an account, or a name that no account has."""

_Name = str | bytes | tuple[bytes]
_Key = TypeVar("_Key", int, _Name)
_Failures = list[float]
"""When somebody failed, oldest first: at most one more than ``MAX_FAILURES``, because what is locked is not counted on."""


class Outcome(enum.Enum):
    """What becomes of one attempt to log in."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    LOCKED = enum.auto()


class LoginAttempts:
    """The failures of each account and of each unknown name within the last 30 minutes, kept in this process as the original keeps them.

    An account is counted by its id, because the database finds it under more than one spelling of its name. The memory for accounts is
    bounded by the number of accounts, so what is known of one is never given up for the sake of another. Names of nobody are bounded by
    ``MAX_NAMES``: a new one takes the place of the one that is not locked and whose last failure is oldest; if all of them are locked
    the new one is not remembered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Each in the order of the last failures.
        self._accounts: dict[int, _Failures] = {}
        self._names: dict[_Name, _Failures] = {}
        self._locked_names: dict[_Name, _Failures] = {}

    def __len__(self) -> int:
        """How many accounts and names are remembered."""
        with self._lock:
            return len(self._accounts) + len(self._names) + len(self._locked_names)

    def is_locked(self, who: Who) -> bool:
        """Whether somebody has failed too often to be looked at."""
        if not isinstance(who, int) and not self._locked_names:  # as nearly always: not worth the lock
            return False
        with self._lock:
            return len(self._recent(who, self._clock())) > MAX_FAILURES

    def attempt(self, who: Who, right: bool) -> Outcome:
        """Decide about one attempt and count it, in one step: a failure is noted, a success forgets the failures before it.

        While somebody is locked even the right password is refused, and nothing is counted.
        """
        if right and isinstance(who, int) and who not in self._accounts:  # as nearly always: nothing to forget
            return Outcome.RIGHT
        with self._lock:
            now = self._clock()
            failures = self._recent(who, now)
            if len(failures) > MAX_FAILURES:
                return Outcome.LOCKED
            self._forget(who)
            if right:
                return Outcome.RIGHT
            failures.append(now)
            if isinstance(who, int):
                self._forget_expired(now)
                self._accounts[who] = failures
            elif self._has_room(now):
                (self._locked_names if len(failures) > MAX_FAILURES else self._names)[_name(who)] = failures
            return Outcome.WRONG

    def _recent(self, who: Who, now: float) -> _Failures:
        """The failures of somebody that are not too old; what is remembered of one who has none is forgotten."""
        if isinstance(who, int):
            failures = self._accounts.get(who)
        else:
            name = _name(who)
            failures = self._names.get(name) or self._locked_names.get(name)
        if failures is None:
            return []
        while failures and failures[0] < now - WINDOW:
            del failures[0]
        if not failures:
            self._forget(who)
        return failures

    def _forget(self, who: Who) -> None:
        if isinstance(who, int):
            self._accounts.pop(who, None)
        else:
            name = _name(who)
            self._names.pop(name, None)
            self._locked_names.pop(name, None)

    def _has_room(self, now: float) -> bool:
        """Make room for a name that is not remembered yet; False when all the others are locked."""
        self._forget_expired(now)
        if len(self._names) + len(self._locked_names) >= MAX_NAMES:
            if not self._names:
                return False
            del self._names[next(iter(self._names))]
        return True

    def _forget_expired(self, now: float) -> None:
        """Forget those whose last failure is too old. Each is looked at once, apart from the first of each kind."""
        _drop_expired(self._accounts, now - WINDOW)
        _drop_expired(self._names, now - WINDOW)
        _drop_expired(self._locked_names, now - WINDOW)


def _drop_expired(table: dict[_Key, _Failures], oldest: float) -> None:
    while table:
        first = next(iter(table))
        if table[first][-1] >= oldest:
            return
        del table[first]


def _name(name: str | bytes) -> _Name:
    """What stands for a name: itself, or a digest of one so long that many of them would not fit into memory."""
    encoded = name if isinstance(name, bytes) else name.encode()
    return name if len(encoded) <= LONGEST_NAME else (hashlib.sha256(encoded).digest(),)
