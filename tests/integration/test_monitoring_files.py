"""docs/monitoring: the alert rules and the Grafana dashboard are readable, and ask for metrics, labels and values that a proxy has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scraping import scrape

from dbproxy.testing import Client, InProcessProxy, Stack

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
RULES = MONITORING / "prometheus-rules.yaml"
DASHBOARD = MONITORING / "grafana-dashboard.json"

WITH_REPLICAS: dict[str, dict[str, set[str]]] = {
    "dbproxy_replication_lag_seconds": {"server": {"*"}},
    "dbproxy_replica_used": {"server": {"*"}},
}
"""Metrics without samples unless there are replicas; tests/topologies/test_replicas_operated.py has them."""

FROM_PROMETHEUS = {"up": {"job", "instance"}}
TARGET_LABELS = {"job", "instance"}
"""Labels that Prometheus adds to every sample."""


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panel_expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def expressions() -> list[str]:
    """All PromQL of both files, with the variables of the dashboard replaced."""
    annotations = [entry["expr"] for entry in dashboard()["annotations"]["list"]]
    texts = [*(rule["expr"] for rule in rules()), *panel_expressions(), *annotations]
    return [text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in texts]


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(metric, [(label, operator, value)]) of every selector in an expression."""
    found = re.findall(r"\b(up|dbproxy_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', labels)) for name, labels in found]


@pytest.fixture
def samples(stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    dbproxy_client.user_info([1])
    address = dbproxy_proxy.application.admin_address
    assert address is not None
    return set(scrape(address))


@pytest.mark.dbproxy(AdminListen="127.0.0.1:0")
@pytest.mark.data(users=("alice",))
def test_every_metric_and_label_that_is_asked_for_exists(samples: set[tuple[str, frozenset[tuple[str, str]]]]) -> None:
    labels_of: dict[str, dict[str, set[str]]] = dict(WITH_REPLICAS)
    for name, labels in samples:
        of_metric = labels_of.setdefault(name, {})
        for label, value in labels:
            of_metric.setdefault(label, set()).add(value)
    asked = [selector for expression in expressions() for selector in selectors(expression)]
    assert len(asked) > 50
    for name, matchers in asked:
        if name in FROM_PROMETHEUS:
            assert {label for label, _, _ in matchers} <= FROM_PROMETHEUS[name]
            continue
        assert name in labels_of, name
        for label, operator, wanted in matchers:
            if label in TARGET_LABELS:
                continue
            assert label in labels_of[name], (name, label)
            for value in wanted.split("|") if operator.endswith("~") else [wanted]:
                assert value in labels_of[name][label], (name, label, value)


@pytest.mark.dbproxy(AdminListen="127.0.0.1:0")
@pytest.mark.data(users=("alice",))
def test_every_label_that_is_grouped_by_or_shown_exists(samples: set[tuple[str, frozenset[tuple[str, str]]]]) -> None:
    existing = {label for _, labels in samples for label, _ in labels} | TARGET_LABELS
    shown = re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", RULES.read_text(encoding="utf-8") + DASHBOARD.read_text(encoding="utf-8"))
    grouped = [label for text in expressions() for labels in re.findall(r"\bby \(([^)]*)\)", text) for label in labels.split(", ")]
    assert shown
    assert grouped
    assert {*shown, *grouped} - existing == set()


def test_every_rule_says_what_happens_and_how_urgent_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


@pytest.mark.parametrize("document", ["METRICS.md", "METRICS.zh-CN.md"])
def test_the_page_about_metrics_lists_every_rule(document: str) -> None:
    text = (MONITORING.parent / document).read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Dbproxy\w+)` \|", text, re.MULTILINE) == [rule["alert"] for rule in rules()]


def test_brackets_and_quotes_of_every_expression_are_closed() -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    for expression in expressions():
        assert expression.count('"') % 2 == 0, expression
        expected: list[str] = []
        for character in re.sub(r'"[^"]*"', "", expression):
            if character in closing:
                expected.append(closing[character])
            elif character in closing.values():
                assert expected, expression
                assert expected.pop() == character, expression
        assert expected == [], expression


def test_the_dashboard_can_be_imported_anywhere() -> None:
    document = dashboard()
    variables = {variable["name"]: variable for variable in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    sources = {panel["datasource"]["uid"] for panel in document["panels"] if "datasource" in panel}
    sources |= {target["datasource"]["uid"] for panel in document["panels"] for target in panel.get("targets", ())}
    assert sources == {"${datasource}"}
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    assert all("$instance" in expression for expression in panel_expressions())


def test_no_two_panels_of_the_dashboard_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian's package prometheus)")
def test_prometheus_accepts_every_expression(tmp_path: Path) -> None:
    panels = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    of_dashboard = tmp_path / "panels.yaml"
    of_dashboard.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}), encoding="utf-8")
    for path in (RULES, of_dashboard):
        done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
