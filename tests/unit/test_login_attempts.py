"""Too many failed logins lock a name for a while; time is given by the test."""

from __future__ import annotations

import pytest

from dbproxy.models import login_attempts
from dbproxy.models.login_attempts import MAX_FAILURES, WINDOW, LoginAttempts


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


def fail(attempts: LoginAttempts, name: str | bytes, times: int) -> None:
    for _ in range(times):
        attempts.failed(name)


def test_the_limit_is_the_stock_one() -> None:
    assert (MAX_FAILURES, WINDOW) == (10, 1800)


def test_ten_failures_do_not_lock_and_eleven_do(attempts: LoginAttempts) -> None:
    fail(attempts, "alice", 10)
    assert not attempts.is_locked("alice")
    fail(attempts, "alice", 1)
    assert attempts.is_locked("alice")


def test_names_are_counted_apart(attempts: LoginAttempts) -> None:
    fail(attempts, "alice", 11)
    assert not attempts.is_locked("bob")
    assert not attempts.is_locked("Alice")
    assert not attempts.is_locked(b"\xff")


def test_a_name_that_is_not_utf8_is_counted_too(attempts: LoginAttempts) -> None:
    fail(attempts, b"\xff", 11)
    assert attempts.is_locked(b"\xff")


def test_a_success_forgets_all_failures(attempts: LoginAttempts) -> None:
    fail(attempts, "alice", 10)
    attempts.succeeded("alice")
    fail(attempts, "alice", 10)
    assert not attempts.is_locked("alice")


def test_the_lock_ends_when_the_failures_are_half_an_hour_old(attempts: LoginAttempts, clock: Clock) -> None:
    fail(attempts, "alice", 11)
    clock.now += WINDOW
    assert attempts.is_locked("alice")
    clock.now += 1
    assert not attempts.is_locked("alice")


def test_the_window_moves_with_time(attempts: LoginAttempts, clock: Clock) -> None:
    for _ in range(30):  # one every 200 s: never more than ten within half an hour
        attempts.failed("alice")
        assert not attempts.is_locked("alice")
        clock.now += 200
    for _ in range(11):  # one every 150 s: twelve within half an hour, so eleven at last
        attempts.failed("alice")
        clock.now += 150
    assert attempts.is_locked("alice")


def test_only_old_failures_are_forgotten(attempts: LoginAttempts, clock: Clock) -> None:
    fail(attempts, "alice", 6)
    clock.now += WINDOW - 10
    fail(attempts, "alice", 5)
    assert attempts.is_locked("alice")
    clock.now += 20
    assert not attempts.is_locked("alice")
    fail(attempts, "alice", 6)
    assert attempts.is_locked("alice")


def test_an_attacker_with_many_names_fills_only_a_bounded_table(
    attempts: LoginAttempts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_attempts, "MAX_NAMES", 100)
    fail(attempts, "early", 11)
    fail(attempts, "victim", 11)
    for number in range(99):
        attempts.failed(f"made up {number}")
    assert len(attempts._failures) == 100
    assert not attempts.is_locked("early")  # the name whose last failure is oldest went
    assert attempts.is_locked("victim")


def test_a_name_with_nothing_left_to_remember_takes_no_room(attempts: LoginAttempts, clock: Clock) -> None:
    attempts.failed("alice")
    clock.now += WINDOW + 1
    assert not attempts.is_locked("alice")
    assert attempts._failures == {}


def test_a_name_of_any_length_is_counted_and_takes_little_room(attempts: LoginAttempts) -> None:
    name = "x" * 1_000_000
    fail(attempts, name, 11)
    assert attempts.is_locked(name)
    assert not attempts.is_locked(name + "y")
    (key,) = attempts._failures
    assert len(str(key)) < 200
