"""Member hashes in clusters with several writers: a hash that was read before a change never takes the place of one read after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.models.staged_members import EXPIRES, StagedMembers
from dbproxy.stores.redis import CachePool
from dbproxy.testing import Stack

OLD, NEW = {b"1": b"100"}, {b"1": b"100", b"2": b"200"}


@pytest.fixture
def pool(stack: Stack) -> Iterator[CachePool]:
    with Backends(load_config(stack.write_config())) as backends:
        yield backends.caches.group_member


@pytest.fixture
def staged(pool: CachePool) -> StagedMembers:
    return StagedMembers(pool)


def read(stack: Stack) -> dict[str, str]:
    with stack.redis("group_member") as redis:
        return {str(user): str(joined) for user, joined in redis.hgetall("group_member_9").items()}


def test_what_is_published_is_the_hash_and_stays(stack: Stack, staged: StagedMembers) -> None:
    staged.publish(9, staged.stage(9, NEW))
    assert read(stack) == {"1": "100", "2": "200"}
    with stack.redis("group_member") as redis:
        assert redis.ttl("group_member_9") == -1
        assert redis.keys() == ["group_member_9"]


def test_what_was_staged_before_a_change_is_not_published_after_it(stack: Stack, staged: StagedMembers) -> None:
    late = staged.stage(9, OLD)
    staged.discard(9)  # somebody changes the members, and commits
    staged.publish(9, late)
    assert read(stack) == {}
    staged.publish(9, staged.stage(9, NEW))
    staged.publish(9, late)
    assert read(stack) == {"1": "100", "2": "200"}


def test_a_change_deletes_what_was_published_and_everything_staged(stack: Stack, staged: StagedMembers) -> None:
    staged.publish(9, staged.stage(9, OLD))
    staged.stage(9, OLD)
    staged.stage(9, OLD)
    staged.discard(9)
    with stack.redis("group_member") as redis:
        assert redis.keys() == []


def test_what_a_proxy_that_died_has_staged_expires(stack: Stack, staged: StagedMembers) -> None:
    staged.stage(9, OLD)
    with stack.redis("group_member") as redis:
        lifetimes = {str(key): redis.ttl(key) for key in redis.scan_iter()}
    assert len(lifetimes) == 2
    assert all(0 < seconds <= 2 * EXPIRES for seconds in lifetimes.values())


def test_a_discard_finds_what_is_staged_even_if_a_key_is_broken(stack: Stack, staged: StagedMembers) -> None:
    with stack.redis("group_member") as redis:
        redis.set("group_member_staged_{group_member_9}", "nonsense")
    staged.discard(9)
    staged.publish(9, staged.stage(9, NEW))
    assert read(stack) == {"1": "100", "2": "200"}
