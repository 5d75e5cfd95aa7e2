"""The reference of the harness is made from its docstrings, and everything public has one."""

from __future__ import annotations

import inspect

import dbproxy.testing
from devtools.api_reference import PAGE, make


def test_the_reference_is_up_to_date() -> None:
    """If not: scripts/generate_api."""
    assert PAGE.read_text(encoding="utf-8") == make()


def test_everything_public_is_described() -> None:
    lacking = []
    for name in dbproxy.testing.__all__:
        member = getattr(dbproxy.testing, name)
        if not inspect.getdoc(member):
            lacking.append(name)
        for attribute, value in vars(member).items() if inspect.isclass(member) else ():
            target = value.fget if isinstance(value, property) else value
            if not attribute.startswith("_") and inspect.isfunction(target) and not inspect.getdoc(target):
                lacking.append(f"{name}.{attribute}")
    assert lacking == []
