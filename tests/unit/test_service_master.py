"""Which of what Sentinels say about earlier failovers is believed; with Sentinels that are played."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.redis import service_master
from dbproxy.stores.redis.address import Identity
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.sentinels import Named
from dbproxy.stores.redis.service_master import NoMasterError, ServiceMaster
from dbproxy.stores.resolver import Resolver

CONFIG = cast(Config, SimpleNamespace(cache_connect_timeout=1, cache_timeout=1, cache_pool_timeout=0.1))
KNOWN, OTHER = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class Played:
    """A service with three Sentinels, whose master of epoch 7 was connected to; ``says``: what each of them answers, None: nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *says: tuple[tuple[str, int], int] | None) -> None:
        instance = CacheInstance(
            name="unread", sentinels=(("a", 1), ("b", 1), ("c", 1)), service="t", db=0, maxconncnt=1, username="", password="", tls=None
        )
        self.connection = DriverConnection(instance, CONFIG, None, Resolver(), UNTRACKED)
        self.master = ServiceMaster(instance, CONFIG, None, Resolver(), UNTRACKED)
        self.master.master = Named("a:1", *KNOWN, 7, False, False, {})
        self.says = says
        monkeypatch.setattr(self.master.sentinels, "named", self.named)
        monkeypatch.setattr(DriverConnection, "ensure_connected", lambda *_: True)
        monkeypatch.setattr(service_master, "identify", lambda *_: Identity(b"run", b"master"))

    def named(self, errors: list[Exception]) -> Iterator[Named]:
        for name, said in zip("abc", self.says, strict=True):
            if said is None:
                errors.append(redis.ConnectionError(f"the Sentinel {name}:1: refused"))
            else:
                yield Named(f"{name}:1", *said[0], said[1], False, False, {})

    def connects(self, *, missing_for: float) -> bool:
        self.master._missing_since = time.monotonic() - missing_for
        try:
            self.master.connect(self.connection, time.monotonic())
        except NoMasterError:
            return False
        return True


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_majority_that_was_set_up_anew_is_believed_after_a_while(monkeypatch: pytest.MonkeyPatch, dead: int) -> None:
    says: list[tuple[tuple[str, int], int] | None] = [(OTHER, 0)] * 3
    says[dead] = None
    played = Played(monkeypatch, *says)
    assert not played.connects(missing_for=5)
    assert played.connects(missing_for=service_master.SET_UP_ANEW + 1)
    assert played.master.master is not None
    assert (played.master.master.address, played.master.master.epoch) == (OTHER, 0)


@pytest.mark.parametrize(
    "says",
    [[(OTHER, 0), None, None], [(OTHER, 0), (KNOWN, 1), None], [(OTHER, 0), (OTHER, 1), None]],
    ids=["no majority", "two masters", "two epochs"],
)
def test_others_that_do_not_know_of_the_last_failover_are_not_believed(
    monkeypatch: pytest.MonkeyPatch, says: list[tuple[tuple[str, int], int] | None]
) -> None:
    assert not Played(monkeypatch, *says).connects(missing_for=1000)


def test_a_majority_is_not_believed_as_long_as_one_knows_of_the_last_failover(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, (OTHER, 0), (OTHER, 0), (KNOWN, 7))
    monkeypatch.setattr(service_master, "identify", lambda *_: Identity(b"run", b"slave"))
    assert not played.connects(missing_for=1000)
    assert played.master.master is not None
    assert played.master.master.epoch == 7


def test_all_that_were_set_up_anew_are_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Played(monkeypatch, (OTHER, 0), (OTHER, 0), (OTHER, 0)).connects(missing_for=0)
