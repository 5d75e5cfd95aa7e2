"""What the log is told when the position of the master cannot be asked, and when the connection for it is made again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.mysql import DBPool, master_position
from dbproxy.stores.mysql.master_position import MasterPosition


class Asked:
    """A pool of one connection to the master."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_closed = False

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        if self.error is not None:
            raise self.error
        server = SimpleNamespace(role=SimpleNamespace(identity="master"))
        yield SimpleNamespace(select=lambda _: [(b"0-1-5", b"1", b"0")], is_mariadb=True, connected_to=server)

    def close(self) -> None:
        self.is_closed = True


class Choice:
    """Of one server."""

    address = ("db", 3306)
    failovers = generation = 0


@pytest.fixture
def made() -> tuple[MasterPosition, SimpleNamespace, list[Asked]]:
    """The position; the pool of the master, which works; and the pools that were made to ask it."""
    pools: list[Asked] = []

    def connect(_: object) -> DBPool:
        pools.append(Asked())
        return cast("DBPool", pools[-1])

    master = SimpleNamespace(choice=Choice(), identity="master", counters=SimpleNamespace(works=True))
    return MasterPosition(cast("DBPool", master), connect, UNTRACKED), master, pools


Made = tuple[MasterPosition, SimpleNamespace, list[Asked]]


def test_the_connection_is_made_again_after_a_reload_of_the_master(made: Made) -> None:
    """Its certificates may be others."""
    position, master, pools = made
    position.since(0)
    position.since(1e12)
    assert len(pools) == 1
    master.choice = Choice()
    position.since(1e12)
    assert [pool.is_closed for pool in pools] == [True, False]


def test_what_is_not_known_for_a_while_is_told_once_and_when_it_is_over(
    made: Made, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(master_position, "_FAILURE_HOLDS", 0)
    position, _, pools = made
    position.since(0)
    (pool,) = pools
    pool.error = StoreUnavailableError("too many connections")
    for tell_after in (1000, 0, 0):
        monkeypatch.setattr(master_position, "_TELL_AFTER", tell_after)
        with pytest.raises(StoreUnavailableError):
            position.since(1e12)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "so it takes the reads: too many connections" in caplog.text
    pool.error = None
    position.since(1e12)
    assert caplog.messages[-1] == "the position of the master is known again"
