"""Too many failed logins lock an account or a name for a while; time is given by the test."""

from __future__ import annotations

import pytest

from dbproxy.models import login_attempts
from dbproxy.models.login_attempts import MAX_FAILURES, WINDOW, LoginAttempts, Outcome, Subject

ALICE, BOB = 1, 2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> LoginAttempts:
    return LoginAttempts(clock)


def fail(attempts: LoginAttempts, who: Subject, times: int = 1) -> None:
    for _ in range(times):
        attempts.attempt(who, right=False)


whoever = pytest.mark.parametrize("who", [ALICE, "nobody", b"\xff"])


def test_the_limit_is_the_stock_one() -> None:
    assert (MAX_FAILURES, WINDOW) == (10, 1800)


@whoever
def test_ten_failures_do_not_lock_and_eleven_do(attempts: LoginAttempts, who: Subject) -> None:
    assert [attempts.attempt(who, right=False) for _ in range(13)] == [Outcome.WRONG] * 11 + [Outcome.LOCKED] * 2
    assert attempts.is_locked(who)


def test_an_account_that_is_locked_does_not_let_in_the_right_password(attempts: LoginAttempts) -> None:
    fail(attempts, ALICE, 10)
    assert attempts.attempt(ALICE, right=True) is Outcome.RIGHT
    fail(attempts, ALICE, 11)
    assert attempts.attempt(ALICE, right=True) is Outcome.LOCKED
    assert attempts.attempt(BOB, right=True) is Outcome.RIGHT


def test_accounts_and_names_are_counted_apart(attempts: LoginAttempts) -> None:
    fail(attempts, "1", 11)
    for other in (1, "2", b"1 ", b"\xff"):
        assert not attempts.is_locked(other)


def test_a_success_forgets_all_failures(attempts: LoginAttempts) -> None:
    fail(attempts, ALICE, 10)
    attempts.attempt(ALICE, right=True)
    assert len(attempts) == 0
    fail(attempts, ALICE, 10)
    assert not attempts.is_locked(ALICE)


@whoever
def test_the_lock_ends_when_the_failures_are_half_an_hour_old(attempts: LoginAttempts, clock: Clock, who: Subject) -> None:
    fail(attempts, who, 11)
    clock.now += WINDOW
    assert attempts.is_locked(who)
    fail(attempts, who)  # counts for nothing while it is locked
    clock.now += 1
    assert not attempts.is_locked(who)


@whoever
def test_the_window_moves_with_time(attempts: LoginAttempts, clock: Clock, who: Subject) -> None:
    for _ in range(30):  # one every 200 s: never more than ten within half an hour
        fail(attempts, who)
        assert not attempts.is_locked(who)
        clock.now += 200
    outcomes = []
    for _ in range(11):  # one every 150 s: twelve within half an hour, so eleven at last
        outcomes.append(attempts.attempt(who, right=False))
        clock.now += 150
    assert Outcome.LOCKED in outcomes


@whoever
def test_only_old_failures_are_forgotten(attempts: LoginAttempts, clock: Clock, who: Subject) -> None:
    fail(attempts, who, 6)
    clock.now += WINDOW - 10
    fail(attempts, who, 5)
    assert attempts.is_locked(who)
    clock.now += 20
    assert not attempts.is_locked(who)
    fail(attempts, who, 6)
    assert attempts.is_locked(who)


def test_failures_of_other_names_never_unlock_anything(attempts: LoginAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_attempts, "MAX_NAMES", 100)
    fail(attempts, ALICE, 11)
    fail(attempts, BOB, 10)
    fail(attempts, "victim", 11)
    for number in range(300):
        fail(attempts, f"made up {number}")
        assert len(attempts) <= 102
    assert attempts.is_locked(ALICE)
    assert attempts.is_locked("victim")
    fail(attempts, BOB)
    assert attempts.is_locked(BOB)


def test_of_names_that_are_not_locked_the_oldest_makes_room(attempts: LoginAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_attempts, "MAX_NAMES", 2)
    fail(attempts, "early", 10)
    fail(attempts, "late", 10)
    fail(attempts, "new", 10)
    for name, locked in (("late", True), ("new", True), ("early", False)):
        fail(attempts, name)
        assert attempts.is_locked(name) == locked


def test_a_table_of_locked_names_takes_no_new_one_until_a_lock_is_over(
    attempts: LoginAttempts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_attempts, "MAX_NAMES", 2)
    for name in ("a", "b"):
        fail(attempts, name, 11)
        clock.now += 10
    fail(attempts, "c", 20)
    assert [attempts.is_locked(name) for name in ("a", "b", "c")] == [True, True, False]
    assert len(attempts) == 2
    clock.now += WINDOW - 15
    fail(attempts, "c", 11)
    assert [attempts.is_locked(name) for name in ("a", "b", "c")] == [False, True, True]


def test_what_has_nothing_left_to_remember_takes_no_room(attempts: LoginAttempts, clock: Clock) -> None:
    for who in range(100):
        fail(attempts, who)
        fail(attempts, f"made up {who}", who % 12)
    clock.now += WINDOW + 1
    fail(attempts, "another")
    assert len(attempts) == 1
    fail(attempts, ALICE, 11)
    clock.now += WINDOW + 1
    assert not attempts.is_locked("another")
    assert attempts.attempt(ALICE, right=True) is Outcome.RIGHT
    fail(attempts, BOB)
    assert len(attempts) == 1


def test_a_name_of_any_length_is_counted_and_takes_little_room(attempts: LoginAttempts) -> None:
    name = "x" * 1_000_000
    fail(attempts, name, 11)
    assert attempts.is_locked(name)
    assert not attempts.is_locked(name + "y")
    (key,) = attempts._locked_names
    assert len(str(key)) < 200
