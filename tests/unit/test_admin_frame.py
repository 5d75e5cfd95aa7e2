"""What all commands of dbproxy-admin share: tables, JSON, texts that must not steer a terminal, exit codes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import pytest

from dbproxy.admin import cli
from dbproxy.admin.commands.frame import EXIT_CONFIG, as_plain, print_details, print_json, print_page, print_table, printable
from dbproxy.admin.page import Page, cut


class Color(Enum):
    RED = "red"


class Pair(NamedTuple):
    key: int
    value: bytes


@dataclass(frozen=True)
class Thing:
    name: str
    parts: tuple[Pair, ...]
    color: Color


def test_a_table_has_aligned_columns_also_with_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "name", "email"), [(7, "小明", "a@b"), (12345, "bob", "")])
    assert capsys.readouterr().out == "   id  name  email\n    7  小明  a@b\n12345  bob\n"


def test_a_table_without_rows_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "name"), [])
    assert capsys.readouterr().out == "id  name\n"


def test_a_page_is_a_table_and_the_way_to_the_next_page_is_no_part_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_page(Page([(7, "小明")], 7), ("id", "name"), lambda entry: entry, "no users")
    assert capsys.readouterr() == ("id  name\n 7  小明\n", "next page: --after 7\n")
    print_page(Page([], None), ("id", "name"), lambda entry: entry, "no users")
    assert capsys.readouterr() == ("no users\n", "")


def test_details_are_lines_with_their_values_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_details({"id": 7, "last message": "never", "avatar": ""})
    assert capsys.readouterr().out == "id:           7\nlast message: never\navatar:\n"


def test_without_a_configuration_in_the_working_directory_it_is_said_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["users", "list"]) == EXIT_CONFIG
    assert "--config PATH names the proxy's file" in capsys.readouterr().err


def test_control_characters_and_changes_of_direction_are_shown_as_escapes() -> None:
    assert printable("a\x1b[31m\nb\u202e\x00 é小😀") == "a\\x1b[31m\\nb\\u202e\\x00 é小😀"


def test_everything_that_services_return_becomes_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(Page([Thing("小", (Pair(1, b"\xffx"),), Color.RED)], 9))
    expected = {"entries": [{"name": "小", "parts": [{"key": 1, "value": "\ufffdx"}], "color": "red"}], "following": 9}
    assert json.loads(capsys.readouterr().out) == expected
    assert as_plain({1: Path("a/b")}) == {"1": "a/b"}


@pytest.mark.parametrize(("read", "entries", "following"), [([1, 2, 3], [1, 2], 2), ([1, 2], [1, 2], None), ([], [], None)])
def test_a_page_says_where_the_next_one_begins_if_there_is_one(read: list[int], entries: list[int], following: int | None) -> None:
    assert cut(read, 2, 2 if read else None) == Page(entries, following)


def test_a_command_line_without_a_topic_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == EXIT_CONFIG
    assert "TOPIC" in capsys.readouterr().err
