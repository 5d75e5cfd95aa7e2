"""Results of MySQL that somebody did not read to their end: the connection must not hand them to whoever uses it next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbproxy.config import load_config
from dbproxy.errors import DeadlineError
from dbproxy.stores.backend_calls import Untracked
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.resolver import Resolver
from dbproxy.testing import Stack

ROWS = 3000
"""Rows of 1 KB each: more than a large result needs."""


class StopsLargeResults(Untracked):
    """Gives up the reading of a large result, after some parts of it."""

    def __init__(self) -> None:
        self.parts = 0

    def large_result(self) -> None:
        if self.parts == 0:
            raise DeadlineError("worked on for longer than RequestTimeout")
        self.parts -= 1


@pytest.fixture
def calls() -> StopsLargeResults:
    return StopsLargeResults()


@pytest.fixture
def pool(dbproxy_stack: Stack, calls: StopsLargeResults) -> Iterator[DBPool]:
    """A pool of one connection."""
    config = load_config(dbproxy_stack.write_config(overrides={"teamtalk_slave_maxconncnt": 1}))
    made = DBPool(config.db_instances["teamtalk_slave"], config, Resolver(), calls)
    made.open()
    yield made
    made.close()


def numbers(pool: DBPool) -> list[int]:
    return [int(pool.select(f"select {number}")[0][0]) for number in (111, 222, 333)]


@pytest.mark.parametrize("parts", [0, 1, 2, 5])
def test_a_lookup_that_was_given_up_leaves_nothing_to_the_next_one(pool: DBPool, calls: StopsLargeResults, parts: int) -> None:
    calls.parts = parts
    numbered = " union all ".join(f"select '{number:04}'" for number in range(ROWS))
    with pytest.raises(DeadlineError):
        pool.select(f"select concat(number, repeat('x', 1024)) from (select '' as number union all {numbered}) rows_of_1_kb")
    assert numbers(pool) == [111, 222, 333]


def test_a_script_that_was_not_taken_to_its_end_leaves_nothing(pool: DBPool) -> None:
    def first_of(connection: DBConn) -> int:
        return int(next(connection.results_of(["select 1", "select 2", "select 3"])).rows[0][0])

    assert pool.read(first_of) == 1
    assert numbers(pool) == [111, 222, 333]
    with pool.connection() as connection:
        assert first_of(connection) == 1
        assert connection.select("select 4") == [(b"4",)]
