"""Work of the web application that goes on after the response: one of a kind at a time, stopped between two steps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dbproxy.admin.access.accounts import Accounts
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.roles import Permission, Role
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.web.jobs import Job, Jobs, State
from dbproxy.testing.waiting import eventually


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.close()


def ended(job: Job) -> State:
    assert eventually(lambda: job.state is not State.RUNNING, True)
    assert job.ended >= job.started
    return job.state


def test_a_job_tells_how_far_it_is_and_what_came_of_it(jobs: Jobs) -> None:
    go_on = threading.Event()

    def work(job: Job) -> str:
        job.progress(3, 10)
        go_on.wait(15)
        return "result"

    job = jobs.start("import", "alice", work)
    assert eventually(lambda: f"{job.done} of {job.total}", "3 of 10") == "3 of 10"
    assert (job.state, job.ended) == (State.RUNNING, 0)
    go_on.set()
    assert (ended(job), job.result, job.error) == (State.DONE, "result", "")
    assert jobs.last("import") is job
    assert jobs.last("prune") is None


def test_there_is_one_of_a_kind_at_a_time(jobs: Jobs) -> None:
    go_on = threading.Event()
    first = jobs.start("import", "alice", lambda job: go_on.wait(15))
    with pytest.raises(RefusedError, match="alice has started the same already"):
        jobs.start("import", "bob", lambda job: None)
    other = jobs.start("prune", "bob", lambda job: None)
    assert ended(other) is State.DONE
    go_on.set()
    ended(first)
    assert ended(jobs.start("import", "bob", lambda job: None)) is State.DONE


def test_a_job_that_shall_stop_ends_at_its_next_step(jobs: Jobs) -> None:
    steps: list[int] = []
    stopped = threading.Event()

    def work(job: Job) -> None:
        for step in range(1000):
            steps.append(step)
            stopped.wait(15)
            job.progress(step)

    job = jobs.start("import", "alice", work)
    job.stop()
    assert job.stopping
    stopped.set()
    assert ended(job) is State.STOPPED
    assert steps == [0]
    assert "what was done until then stays done" in job.error


def test_an_error_is_told_and_a_defect_is_in_the_log(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def refused(job: Job) -> None:
        raise AdminError("the disk is full")

    def broken(job: Job) -> None:
        raise KeyError("secret")

    job = jobs.start("import", "alice", refused)
    assert (ended(job), job.error) == (State.FAILED, "the disk is full")
    assert caplog.records == []
    job = jobs.start("import", "alice", broken)
    assert (ended(job), job.error) == (State.FAILED, "internal error, see the log: KeyError")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_the_end_stops_what_runs_and_lets_nothing_begin() -> None:
    jobs = Jobs()
    begun = threading.Event()

    def work(job: Job) -> None:
        while True:
            begun.set()
            job.progress(1)

    job = jobs.start("import", "alice", work)
    assert begun.wait(15)
    jobs.close()
    assert job.state is State.STOPPED
    with pytest.raises(RefusedError, match="being stopped"):
        jobs.start("prune", "alice", work)


def test_a_job_goes_no_further_than_its_account_may(tmp_path: Path) -> None:
    accounts = Accounts(AccountsDatabase(tmp_path), PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    accounts.add("olga", "correct horse battery", Role.OWNER)
    jobs = Jobs(accounts.has)
    steps = threading.Semaphore(0)

    def work(job: Job) -> None:
        for step in range(100):
            steps.acquire(timeout=15)
            job.progress(step)

    try:
        for name, change in (
            ("anna", lambda name: accounts.set_enabled(name, False)),
            ("anton", accounts.remove),
            ("ada", lambda name: accounts.set_role(name, Role.VIEWER)),
        ):
            accounts.add(name, "correct horse battery", Role.OPERATOR)
            job = jobs.start("import", name, work)
            steps.release(2)
            assert _done(job, 1) == 1
            change(name)
            steps.release()
            assert ended(job) is State.STOPPED
            assert f"{name} may not do this any more" in job.error
        job = jobs.start("prune", "olga", lambda job: job.progress(1), Permission.PRUNE)
        assert ended(job) is State.DONE
    finally:
        jobs.close()


def _done(job: Job, expected: int) -> int:
    return eventually(lambda: job.done, expected)
