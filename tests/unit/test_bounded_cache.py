"""A cache that never grows past its size."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.models.bounded_cache import BoundedCache


def test_it_remembers_replaces_and_forgets() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10)
    assert cache.get("a") is None
    cache.put("a", 1)
    cache.put("a", 2)
    assert (cache.get("a"), len(cache)) == (2, 1)
    cache.drop("a")
    cache.drop("a")
    assert (cache.get("a"), len(cache)) == (None, 0)


def test_the_oldest_go_when_it_is_full() -> None:
    cache: BoundedCache[int, int] = BoundedCache(100)
    for number in range(101):
        cache.put(number, number)
    assert cache.get(0) is None
    assert cache.get(50) == 50
    assert cache.get(100) == 100


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=200))
def test_it_never_grows_past_its_size_and_never_says_what_was_not_put_last(size: int, steps: list[tuple[int, bool]]) -> None:
    cache: BoundedCache[int, int] = BoundedCache(size)
    last: dict[int, int] = {}
    for moment, (key, put) in enumerate(steps):
        if put:
            cache.put(key, moment)
            last[key] = moment
            assert cache.get(key) == moment
        else:
            cache.drop(key)
            last.pop(key, None)
            assert cache.get(key) is None
        assert len(cache) <= size
        assert all(cache.get(known) in (None, value) for known, value in last.items())


@pytest.mark.parametrize("threads", [4])
def test_many_threads_may_use_it_at_once(threads: int) -> None:
    cache: BoundedCache[int, int] = BoundedCache(50)
    errors: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for number in range(3000):
                key = (start * 7 + number) % 200
                cache.put(key, key)
                assert cache.get(key) in (key, None)
                cache.drop((key + 1) % 200)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert len(cache) <= 50 + threads
