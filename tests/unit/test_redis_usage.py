"""What dbproxy-doctor examines of Redis is what the proxy uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from dbproxy.doctor.redis.access import USAGE

PACKAGE = Path(__file__).parents[2] / "dbproxy"
TRANSACTIONS = {"MULTI", "EXEC"}


def commands_of(path: Path) -> Iterator[str]:
    """The first elements of tuples that are words in capital letters."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Tuple) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.isupper():
                yield first.value


def test_every_command_that_is_used_is_examined() -> None:
    used = {name for path in (*sorted((PACKAGE / "models").rglob("*.py")), PACKAGE / "sync_center.py") for name in commands_of(path)}
    assert {"STRLEN", "INCRBY", "RENAME", "MULTI"} <= used
    assert used - TRANSACTIONS <= {str(command[0]) for usage in USAGE.values() for command in usage.commands}
