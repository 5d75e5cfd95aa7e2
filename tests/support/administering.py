"""An Administration of a stack, for the tests of what dbproxy-admin does with messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.installation import Installation
from dbproxy.config import load_config
from dbproxy.testing import Stack


@contextmanager
def administration_of(stack: Stack, overrides: Mapping[str, object] | None = None) -> Iterator[Administration]:
    """Open the backends of a stack for somebody called ``os:tester``; the audit log is in a new directory."""
    directory = stack.new_directory("admin")
    config = load_config(stack.write_config(overrides={"AdminDataDir": directory, **(overrides or {})}))
    with Installation(config) as installation:
        yield Administration(installation, Actor("os:tester", "tests"), AuditLog(directory))


def recorded_by(administration: Administration) -> list[dict[str, Any]]:
    """The lines of the audit log."""
    path = administration.log.path
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
