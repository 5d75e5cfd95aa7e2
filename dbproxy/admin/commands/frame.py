"""What the commands have in common: their options, how they end, and how results are printed. The main thread."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar
from unicodedata import east_asian_width

from dbproxy.admin.administration import Administration
from dbproxy.admin.page import LARGEST_PAGE, Page
from dbproxy.config import Config
from dbproxy.option_types import whole_number
from dbproxy.output import write_line

T = TypeVar("T")

EXIT_OK = 0
EXIT_REFUSED = 1
"""Something was not found or is not accepted; or lines of an import were refused."""
EXIT_CONFIG = 2
EXIT_BACKEND = 3


class Options(argparse.Namespace):
    """Parsed options; ``json`` and ``dry_run`` are there for every command."""

    json: bool
    dry_run: bool


Run = Callable[[Administration, Any], int] | Callable[[Config, Any], int]
"""Carries out a command and returns the exit status; the second kind is for those that need no backends.
Raises AdminError and StoreError."""


Commands = argparse._SubParsersAction  # argparse gives it no public name
"""What topics are added to, and commands to a topic."""


class Topic(Protocol):
    """A file of this package: ``add_commands`` adds the parser of its topic."""

    def add_commands(self, topics: Commands[argparse.ArgumentParser]) -> None:
        """Add ``topic`` with its commands; each sets ``run`` (a ``Run``) as a default."""


def add_topic(
    topics: Commands[argparse.ArgumentParser], name: str, summary: str, description: str | None = None
) -> Commands[argparse.ArgumentParser]:
    """Add a topic and return what its commands are added to. ``description``: None is the summary."""
    topic = topics.add_parser(name, help=summary, description=description or _sentence(summary))
    return topic.add_subparsers(metavar="COMMAND", required=True)


def add_command(
    commands: Commands[argparse.ArgumentParser], name: str, run: Run, summary: str, *, changes: bool = False, prints: bool = True
) -> argparse.ArgumentParser:
    """Add a command and return its parser. ``changes``: it has ``--dry-run``. ``prints``: it has a result, and so ``--json``."""
    parser = commands.add_parser(name, help=summary, description=_sentence(summary))
    if prints:
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    if changes:
        parser.add_argument("-n", "--dry-run", action="store_true", help="check everything and say what would be done, but change nothing")
    parser.set_defaults(run=run, dry_run=False, json=False)
    return parser


def add_paging(parser: argparse.ArgumentParser, most: int = LARGEST_PAGE) -> None:
    """Add ``--limit`` and ``--after``."""
    limit = f"entries, up to {most} (default: %(default)s)"
    parser.add_argument("--limit", metavar="N", type=whole_number(1, most), default=50, help=limit)
    after = "go on after this position, which the former page has printed"
    parser.add_argument("--after", metavar="POSITION", type=whole_number(0, 2**128), help=after)


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}."


def print_json(value: object) -> bool:
    """Print a dataclass, or lists and mappings of them, as one JSON document; return whether it was written."""
    return write_line(sys.stdout, json.dumps(as_plain(value), ensure_ascii=False, indent=2))


def as_plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON has
    """Return what JSON can show: dataclasses and named tuples become objects, bytes text, enums their values, paths text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): as_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_plain(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def print_line(text: str) -> None:
    """Print a line; control characters, which would steer the terminal, are shown as escapes."""
    write_line(sys.stdout, printable(text))


def print_error(text: str) -> None:
    """Print a line to the standard error."""
    write_line(sys.stderr, printable(text))


def printable(text: str) -> str:
    """Return ``text`` with control characters, and those that change the direction of writing, as escapes."""
    return "".join(character if _is_harmless(character) else character.encode("unicode_escape").decode() for character in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == " "


def print_page(page: Page[T], columns: Sequence[str], cells: Callable[[T], Sequence[object]], nothing: str) -> None:
    """Print a page of a list as a table, and on the standard error how to get the next one. ``nothing``: what is printed instead of an
    empty table, like "no users".
    """
    print_rows(columns, [cells(entry) for entry in page.entries], nothing)
    print_following(page.following)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print a table, or ``nothing`` if it has no rows."""
    if rows:
        print_table(columns, rows)
    else:
        print_line(nothing)


def print_following(following: int | None) -> None:
    """Say on the standard error how to get the next page, if there may be one: the table can go to another program."""
    if following is not None:
        print_error(f"next page: --after {following}")


def print_details(values: Mapping[str, object]) -> None:
    """Print what is known of one thing, a line for each value."""
    width = max(map(len, values)) + 2
    for name, value in values.items():
        print_line(f"{name + ':':<{width}}{value}".rstrip())


def print_note(text: str) -> None:
    """Print what people should know of a change: who notices it, and when."""
    print_line(f"note: {text}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with a line of headings; wide characters take two columns, numbers stand to the right."""
    lines = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max([_width(name), *(_width(line[index]) for line in lines)]) for index, name in enumerate(columns)]
    numeric = [bool(lines) and all(line[index].lstrip("-").isdigit() or not line[index] for line in lines) for index in range(len(columns))]
    for line in [list(columns), *lines]:
        cells = (_padded(cell, width, right) for cell, width, right in zip(line, widths, numeric, strict=True))
        write_line(sys.stdout, "  ".join(cells).rstrip())


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
