"""The tools of ``scripts/scale``: a generated installation is a correct one, the simulation agrees with its formula."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.testing import InProcessProxy, Stack
from devtools.scale import arithmetic, simulation
from devtools.scale.__main__ import main
from devtools.scale.installations import sample
from devtools.scale.population import GROUP_SIZE, POPULATIONS, Population, fill
from devtools.scale.simulation import System, Work

TINY = Population("tiny", 220)


def test_an_installation_that_was_generated_is_correct_and_complete_also_after_an_interruption(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        config = load_config(stack.write_config())
        shown: list[str] = []

        def interrupt(step: str) -> None:
            shown.append(step)
            if step.startswith("messages 2 of table 5"):
                raise KeyboardInterrupt

        with Backends(config) as backends:
            with pytest.raises(KeyboardInterrupt):
                fill(backends, TINY, interrupt)
            fill(backends, TINY, shown.append)
        assert len(shown) == len(set(shown)) + 1  # the step that was interrupted was done again, and no other
        with open_stores(config) as stores:
            report = audit(stores)
        assert {entry.finding.kind: entry.finding.what for entry in report.entries} == {}
        tables = [f"IMMessage_{shard}" for shard in range(8)] + [f"IMGroupMessage_{shard}" for shard in range(8)]
        rows = stack.rows(" union all ".join(f"select count(*) as n from {table}" for table in tables))
        assert sum(int(str(row["n"])) for row in rows) == TINY.messages
        data = sample(TINY)
        assert len(data.pairs) == TINY.relations
        with InProcessProxy(stack) as proxy, proxy.client() as client:
            (small, big), relate_id = data.pairs[0], data.relations[data.pairs[0]]
            assert TINY.pair(relate_id) == (small, big)
            assert client.send_message(small, big).msg_id == 5
            group_id, members = next(iter(data.groups.items()))
            assert list(client.group_info({group_id: 0}).group_info_list[0].group_member_list) == sorted(members, key=str)
            assert client.send_group_message(members[0], group_id).msg_id == 101


def test_the_largest_installation_has_ten_million_messages_and_a_million_users() -> None:
    large = POPULATIONS["large"]
    assert large.users == 1_000_000
    assert 9_900_000 < large.messages < 10_100_000
    assert large.members(large.groups)[-1] <= large.users
    assert len(large.members(1)) == GROUP_SIZE


@pytest.mark.parametrize("proxies", [1, 2, 4, 8])
@pytest.mark.parametrize("rate", [2_000, 8_000])
def test_batches_of_the_simulation_are_as_long_as_the_formula_says(proxies: int, rate: float) -> None:
    system = System(proxies=proxies, database_cores=64)
    outcome = simulation.simulate(system, rate, messages=40_000)
    expected = simulation.steady_batch(system, rate)
    if expected > 2:  # shorter ones are often single messages for which nobody has waited, which the formula does not know
        assert outcome.batch == pytest.approx(expected, rel=0.08)
        assert outcome.database_busy == pytest.approx(simulation.database_cores(system, rate), rel=0.08)
    assert outcome.per_second == pytest.approx(rate, rel=0.05)


def test_a_proxy_of_the_simulation_whose_batches_are_full_stores_what_one_batch_after_the_other_can() -> None:
    system = System(longest=10, proxy=Work(0.001, 0), database=Work(0.001, 0), waiting=0.003)
    outcome = simulation.simulate(system, 100_000, messages=20_000)
    assert outcome.per_second == pytest.approx(10 / 0.005, rel=0.02)
    assert outcome.batch == pytest.approx(10, rel=0.01)


def test_the_arithmetic_counts_every_message_once_and_names_what_ends_first() -> None:
    people = arithmetic.Assumptions(messages=86_400, peak=1, group_share=0.25, logins=0)
    rates = arithmetic.requests_per_second(1, people)
    assert rates["single"] == pytest.approx(0.75)
    assert rates["group"] == pytest.approx(0.25)
    one, many = arithmetic.calculate(1e6, arithmetic.Assumptions()), arithmetic.calculate(1e8, arithmetic.Assumptions())
    for name in ("messages_per_second", "proxy_cores", "redis_gib", "stored_gib", "sync_share"):
        assert getattr(many, name) == pytest.approx(100 * getattr(one, name))
    assert one.days_to_row_limit == pytest.approx(100 * many.days_to_row_limit)
    limits = arithmetic.first_to_break(arithmetic.Assumptions())
    assert [limit.users for limit in limits] == sorted(limit.users for limit in limits)
    more = arithmetic.first_to_break(dataclasses.replace(arithmetic.Assumptions(), messages=200))
    storing = "storing alone"
    assert next(limit.users for limit in more if limit.what.startswith(storing)) == pytest.approx(
        next(limit.users for limit in limits if limit.what.startswith(storing)) / 10
    )


@pytest.mark.parametrize("command", ["arithmetic", "simulation"])
def test_what_needs_no_servers_prints_its_tables(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 0
    assert capsys.readouterr().out.count("\n") > 10
