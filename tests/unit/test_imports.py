"""Imports between the layers point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "dbproxy"

ALLOWED = {
    "wire": {"wire"},
    "net": {"net", "wire", "errors"},
    "work": {"work", "wire", "errors"},
    "stores": {"stores", "config", "errors"},
    "models": {"models", "stores", "errors"},
    "handlers": {"handlers", "models", "wire", "work", "errors"},
    "sync_center": {"models", "stores", "errors"},
    "config": {"addresses", "config", "config_keys", "config_reader", "config_rules", "config_source", "errors"},
    "config_options": {"config"},
    "config_reader": {"config_keys", "config_rules", "config_source"},
    "config_source": {"config_keys", "config_rules"},
    "config_keys": {"config_rules"},
    "config_rules": set(),
    "errors": set(),
    "log": {"log_queue", "log_recent", "errors"},
    "log_recent": set(),
    "log_queue": set(),
    "handover": {"handover", "net", "work", "wire", "errors"},
    "assembly": {"components", "config", "handler_setup", "models", "net", "ops", "stores", "sync_center", "work"},
    "handler_setup": {"config", "handlers", "models", "stores", "work"},
    "lifecycle": {"net", "notify", "errors"},
    "descriptors": {"config"},
    "config_changes": {"config", "config_keys"},
    "components": {"config", "descriptors", "models", "net", "stores", "sync_center", "work"},
    "reload": {"config", "config_changes", "errors", "stores"},
    "ops": {
        "addresses",
        "handover",
        "__version__",
        "descriptors",
        "ops",
        "work",
        "wire",
        "net",
        "stores",
        "models",
        "sync_center",
        "config",
        "config_options",
        "errors",
        "log",
    },
    "notify": set(),
    "addresses": set(),
}
"""Which layers (or single modules) a layer may import. app and cli may import all and are not listed."""

TOOLS = {"testing", "admin", "audit", "bench", "backends", "output", "doctor", "install", "tap", "conformance", "smoke", "option_types"}
"""What comes with the daemon but is no part of it: it may import every layer, and the daemon may not import it."""

LATE = {("cli", "doctor")}
"""Commands of the daemon that are a tool: imported by the function that runs it, so that a proxy that serves never loads it."""

DAEMON = sorted({*ALLOWED, "app", "cli"})


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dbproxy."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "dbproxy":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dbproxy."))


def files_of(layer: str) -> list[Path]:
    single = PACKAGE / f"{layer}.py"
    return [single] if single.exists() else sorted((PACKAGE / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", sorted(ALLOWED))
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    files = files_of(layer)
    assert files
    used = {(path.name, target) for path in files for target in imports_of(path)}
    assert {(name, target) for name, target in used if target not in ALLOWED[layer]} == set()


@pytest.mark.parametrize("layer", DAEMON)
def test_the_daemon_does_not_need_the_tools_beside_it(layer: str) -> None:
    late = {tool for importer, tool in LATE if importer == layer}
    assert [path for path in files_of(layer) if (TOOLS - late) & set(imports_of(path))] == []


def test_a_proxy_that_serves_loads_no_tool() -> None:
    code = "import sys, dbproxy.cli, dbproxy.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=PACKAGE.parent).stdout
    assert "dbproxy.app" in loaded.split()
    assert {name for name in loaded.split() if name.startswith("dbproxy.") and name.split(".")[1] in TOOLS} == set()


def test_every_layer_is_listed() -> None:
    layers = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert layers - TOOLS - {"__init__", "__main__", "app", "cli"} == set(ALLOWED)


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest imports them by name, so that the second one could not be collected in the same run."""
    names = [path.name for path in (PACKAGE.parent / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
