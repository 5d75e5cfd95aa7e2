"""The arrows between the rooms point one way."""

from __future__ import annotations

import ast
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
    "config": {"config", "config_keys", "errors"},
    "config_keys": {"errors"},
    "errors": set(),
    "log": {"log_queue", "errors"},
    "log_queue": set(),
    "lifecycle": {"net", "errors"},
}
"""Which rooms (or single modules) a room may use. app and cli stand above all rooms and are not listed."""

TOOLS = {"testing", "audit", "bench"}
"""What comes with the daemon but is no part of it: it may use every room, and the daemon may not use it."""

DAEMON = sorted({*ALLOWED, "app", "cli"})


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dbproxy."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "dbproxy":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dbproxy."))


def files_of(room: str) -> list[Path]:
    single = PACKAGE / f"{room}.py"
    return [single] if single.exists() else sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_room_uses_only_what_it_may(room: str) -> None:
    files = files_of(room)
    assert files
    used = {(path.name, target) for path in files for target in imports_of(path)}
    assert {(name, target) for name, target in used if target not in ALLOWED[room]} == set()


@pytest.mark.parametrize("room", DAEMON)
def test_the_daemon_does_not_need_the_tools_beside_it(room: str) -> None:
    assert [path for path in files_of(room) if TOOLS & set(imports_of(path))] == []


def test_every_room_is_listed() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms - TOOLS - {"__init__", "__main__", "app", "cli"} == set(ALLOWED)
