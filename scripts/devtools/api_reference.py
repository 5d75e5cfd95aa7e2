"""docs/API.md: the reference of everything public in ``dbproxy.testing``, made from its docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devtools.generated import ROOT, write_or_check

PAGE = ROOT / "docs" / "API.md"

MODULES = (
    "dbproxy.testing.seed",
    "dbproxy.testing.waiting",
    "dbproxy.testing.requests",
    "dbproxy.testing.choice",
    "dbproxy.conformance.cases",
)
"""Modules whose functions are public, besides the names of ``dbproxy.testing``."""

HEAD = """\
# API of `dbproxy.testing`

Made from the docstrings by `scripts/generate_api`. [HARNESS](HARNESS.md) shows how it is used and says what is stable.
"""


def make() -> str:
    """Return the text of the page."""
    return HEAD + "\n" + "\n".join(_parts()).rstrip() + "\n"


def _parts() -> Iterator[str]:
    package = importlib.import_module("dbproxy.testing")
    for name in package.__all__:
        member = getattr(package, name)
        if inspect.isclass(member):
            yield from _class(name, member)
        elif inspect.isfunction(member):
            yield f"## `{name}{_signature(member)}`\n\n{_text(member)}\n"
    yield "## Fixtures of the pytest plugin\n"
    source = Path(importlib.import_module("dbproxy.testing.plugin").__file__ or "").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and any("pytest.fixture" in ast.unparse(one) for one in node.decorator_list):
            yield f"### `{node.name}`\n\n{_markdown(ast.get_docstring(node) or '')}\n"
    for name in MODULES:
        module = importlib.import_module(name)
        yield f"## `{name}`\n\n{_text(module)}\n"
        for member_name, member in vars(module).items():
            if inspect.isfunction(member) and member.__module__ == name and not member_name.startswith("_"):
                yield f"### `{member_name}{_signature(member)}`\n\n{_text(member)}\n"


def _class(name: str, kind: type[Any]) -> Iterator[str]:
    is_error = issubclass(kind, BaseException)
    yield f"## `{name}{'' if is_error else _signature(kind)}`\n\n{_text(kind)}\n"
    if is_error:
        return
    for member_name, owner in _members(kind):
        member = inspect.getattr_static(owner, member_name)
        if isinstance(member, property):
            yield f"### `{name}.{member_name}`\n\n{_text(member.fget)}\n"
        elif inspect.isfunction(member):
            yield f"### `{name}.{member_name}{_signature(member)}`\n\n{_text(member)}\n"


def _members(kind: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Public members with docstrings, of the class first and then of its bases, in the order of the source."""
    seen = set()
    for owner in kind.__mro__:
        if not owner.__module__.startswith("dbproxy."):
            continue
        for name, member in vars(owner).items():
            target = member.fget if isinstance(member, property) else member
            if not name.startswith("_") and name not in seen and callable(target) and inspect.getdoc(target):
                seen.add(name)
                yield name, owner


def _signature(member: Any) -> str:  # noqa: ANN401 - a class or a function
    """The parameters and the result, with annotations as the source has them."""
    signature = inspect.signature(member)
    shown = []
    only_by_name = False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        if parameter.kind is parameter.KEYWORD_ONLY and not only_by_name:
            shown.append("*")
        only_by_name |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        annotation = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        shown.append(f"{star}{parameter.name}{annotation}{default}")
    result = "" if inspect.isclass(member) or signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    return re.sub(r"'?PosixPath\('[^']*/([\w.]+)'\)", r"PATH/\1", f"({', '.join(shown)}){result}")


def _text(member: Any) -> str:  # noqa: ANN401 - anything with a docstring
    """The docstring as Markdown: roles of Sphinx and double backquotes become single ones."""
    return _markdown(inspect.getdoc(member) or "")


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = text.replace("``", "`")
    return re.sub(r"\n\nRaises:\n", "\n\nRaises:\n\n", text)


if __name__ == "__main__":
    sys.exit(write_or_check("scripts/generate_api", __doc__ or "", PAGE, make))
