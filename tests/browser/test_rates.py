"""Rates and quantiles that the dashboard computes from cumulative counters."""

from __future__ import annotations

from typing import Any

import pytest
from browser import FILES, OpenPage, Watched, from_files

BOUNDS = [0.001, 0.01, 0.1, 1]


@pytest.fixture
def script(open_page: OpenPage) -> Watched:
    """A page without content, of the place where the modules are."""
    watched = open_page()
    from_files(watched.page)
    watched.page.goto(FILES + "icon.svg")
    return watched


def quantile(script: Watched, buckets: list[int], fraction: float) -> Any:
    call = "([bounds, buckets, fraction]) => import('/js/rates.js').then(({ quantile }) => String(quantile(bounds, { buckets }, fraction)))"
    return script.page.evaluate(call, [BOUNDS, buckets, fraction])


@pytest.mark.parametrize(
    ("buckets", "fraction", "want"),
    [
        ([10, 0, 0, 0, 0], 0.5, 0.0005),  # the middle of the first bucket, which begins at 0
        ([0, 10, 0, 0, 0], 0.5, 0.0055),
        ([50, 0, 50, 0, 0], 0.5, 0.001),  # the rank is the last of the first bucket
        ([50, 0, 50, 0, 0], 0.75, 0.055),
        ([99, 0, 0, 1, 0], 0.99, 0.001),
        ([98, 0, 0, 2, 0], 0.99, 0.55),
        ([0, 0, 0, 4, 0], 1, 1),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(script: Watched, buckets: list[int], fraction: float, want: float) -> None:
    assert float(quantile(script, buckets, fraction)) == pytest.approx(want)


def test_a_quantile_above_the_last_bound_is_infinite(script: Watched) -> None:
    assert quantile(script, [1, 0, 0, 0, 99], 0.5) == "Infinity"


def test_no_requests_have_no_quantile(script: Watched) -> None:
    assert quantile(script, [0, 0, 0, 0, 0], 0.5) == "null"


HISTORY = """async ([seconds, uptimes, process]) => {
  const { History } = await import('/js/rates.js');
  const history = new History();
  const status = (uptime, pid) => ({
    pid, started: 1000 + pid, uptime, batches: { sizes: null }, pools: [], file_server: {}, connections: { pdus_in: uptime * 7 },
    requests: uptime < 3 ? {} : { A: { answered: uptime * 2, waiting: { count: uptime, sum: uptime / 2, buckets: [uptime, 0] } } },
  });
  const others = uptimes.map((uptime, index) => history.add(status(uptime, process[index] ?? 1)));
  const change = history.over(seconds);
  if (change === null) return { length: history.length, others };
  return {
    length: history.length, others, seconds: change.seconds,
    pdus: change.rate((snapshot) => snapshot.connections.pdus_in),
    answered: change.growth((snapshot) => snapshot.requests.A?.answered),
    histogram: change.histogram((snapshot) => snapshot.requests.A?.waiting),
  };
}"""


def history(script: Watched, seconds: float, uptimes: list[float], process: list[int] | None = None) -> dict[str, Any]:
    result: dict[str, Any] = script.page.evaluate(HISTORY, [seconds, uptimes, process or []])
    return result


def test_a_rate_is_that_of_the_window(script: Watched) -> None:
    found = history(script, 10, [*range(100, 131)])
    assert (found["seconds"], found["pdus"], found["answered"]) == (10, 7, 20)
    assert found["histogram"] == {"count": 10, "sum": 5, "buckets": [10, 0]}


def test_a_window_longer_than_what_is_known_takes_what_there_is(script: Watched) -> None:
    assert history(script, 300, [100, 101, 103])["seconds"] == 3


def test_one_snapshot_has_no_rate(script: Watched) -> None:
    assert history(script, 10, [100]) == {"length": 1, "others": [False]}


def test_a_command_that_was_not_counted_before_began_at_nothing(script: Watched) -> None:
    found = history(script, 10, [1, 2, 5])
    assert found["answered"] == 10
    assert found["histogram"]["count"] == 5


def test_counters_of_another_process_are_not_mixed(script: Watched) -> None:
    found = history(script, 60, [500, 501, 502, 1, 2, 3], [1, 1, 1, 2, 2, 2])
    assert found["others"] == [False, False, False, True, False, False]
    assert (found["length"], found["seconds"], found["pdus"]) == (3, 2, 7)


def test_the_same_status_twice_counts_once(script: Watched) -> None:
    assert history(script, 60, [100, 100, 101, 101])["length"] == 2


def test_hours_of_snapshots_are_bounded_and_cover_the_longest_window(script: Watched) -> None:
    found = history(script, 300, [*range(10_000)])
    assert found["seconds"] == 300
    assert found["length"] <= 302
    # also when somebody asks far more often
    assert history(script, 300, [number / 10 for number in range(20_000)])["length"] <= 600
