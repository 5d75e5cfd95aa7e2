"""The parts of the soak test that decide what happens and what counts as a problem."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from dbproxy.testing.stack import POOLS
from devtools.soak.__main__ import main
from devtools.soak.faults import EVERYTHING, Fault, Injector
from devtools.soak.topologies import DATABASES, TOPOLOGIES, link_keys


def test_every_fault_comes_once_before_any_is_repeated() -> None:
    done: list[str] = []

    def _kill() -> None:
        done.append("kill")

    def _reload_proxies() -> None:
        done.append("reload")

    injector = Injector([Fault(_kill), Fault(_reload_proxies, EVERYTHING)], random.Random(1))
    for _ in range(4):
        injector.inject_next()
    assert sorted(done[:2]) == sorted(done[2:]) == ["kill", "reload"]
    assert {(window.what, window.spares) for window in injector.windows} == {("kill", frozenset()), ("reload proxies", EVERYTHING)}
    assert all(window.began <= window.ended < float("inf") for window in injector.windows)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_only_instances_that_exist_are_reached_over_links(name: str) -> None:
    topology = TOPOLOGIES[name]
    assert set(topology.links) <= {*DATABASES, *POOLS}
    keys = link_keys(topology, mysql_port=1, redis_port=2)
    assert all(keys[f"{link}_port"] == (1 if link in DATABASES else 2) for link in topology.links)


def test_a_topology_that_cannot_be_run_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lacking = replace(TOPOLOGIES["galera"], missing=lambda: "galera-4 is not installed")
    monkeypatch.setattr("devtools.soak.__main__.TOPOLOGIES", {"stock": TOPOLOGIES["stock"], "galera": lacking})
    assert main(["--topology", "galera"]) == 3
    assert "galera-4 is not installed" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
