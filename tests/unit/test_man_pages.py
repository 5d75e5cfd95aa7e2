"""The manual pages are those of the parsers, and programs that show manual pages find no mistake in them."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess

import pytest

from devtools.man_pages import PAGES, ROOT, console_scripts, make, page, parser_of

FOLDER = ROOT / PAGES
FILES = sorted(path.name for path in FOLDER.iterdir())


def test_the_pages_are_up_to_date() -> None:
    """If not: scripts/generate_man."""
    assert make() == {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}


def test_every_command_has_one_page() -> None:
    assert {name.rpartition(".")[0] for name in FILES} == set(console_scripts())


@pytest.mark.parametrize("name", FILES)
def test_a_page_names_every_option_of_its_command(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8").replace("\\-", "-")
    command = name.rpartition(".")[0]
    options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", parser_of(console_scripts()[command]).format_help())
    assert [option for option in options if f"\\fB{option}\\fR" not in text and option not in text] == []


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("name", FILES)
def test_mandoc_has_no_warning(name: str) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", FOLDER / name], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
@pytest.mark.parametrize("name", FILES)
def test_man_shows_the_page_without_a_warning(name: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    command = ["man", "--warnings", "--pager=cat", "-l", str(FOLDER / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name.rpartition('.')[0]} - " in re.sub(r".\x08", "", done.stdout)


def test_arguments_subcommands_and_odd_text_are_shown() -> None:
    parser = argparse.ArgumentParser(
        prog="x-y", description="Does it. Then\n\n.ends with \\n.", epilog="Exit status: 0 good, 7 bad, or worse."
    )
    parser.add_argument("--hidden", help=argparse.SUPPRESS)
    parser.add_argument("-l", "--level", choices=["low", "high"], default="low", help="one of %(choices)s (default: %(default)s)")
    commands = parser.add_subparsers()
    trace = commands.add_parser("trace", help="shows PDUs")
    trace.add_argument("--level", default=argparse.SUPPRESS, help="as above")
    trace.add_argument("peer", nargs="*", help="whose")
    trace.add_argument("--seconds", type=int, required=True, help="how long, 100%%")
    lines = page("x-y", parser, {"b": 8, "a": 1}, "1.0", "2026-01-02").splitlines()
    assert lines[1] == '.TH x-y 1 2026-01-02 "dbproxy 1.0"'
    assert "x\\-y \\- Does it" in lines
    assert "\\&.ends with \\en." in lines
    assert "hidden" not in " ".join(lines)
    assert (
        lines[lines.index("\\fB\\-l\\fR \\fI{low,high}\\fR, \\fB\\-\\-level\\fR \\fI{low,high}\\fR") + 1]
        == "one of low, high (default: low)"
    )
    assert lines[lines.index(".SS trace") + 1 :][:5] == [
        ".nh",
        ".B x\\-y trace",
        "\\fB\\-\\-seconds\\fR \\fISECONDS\\fR",
        "[\\fIpeer\\fR ...]",
        ".hy",
    ]
    assert lines[lines.index("\\fB\\-\\-seconds\\fR \\fISECONDS\\fR", lines.index("whose")) + 1] == "how long, 100%"
    assert lines[lines.index(".B 7") + 1] == "bad, or worse"
    assert lines[-2:] == [".BR a (1),", ".BR b (8)"]


def test_a_command_without_a_parser_is_an_error() -> None:
    with pytest.raises(LookupError, match="builtins:list has parsed no command line"):
        parser_of("builtins:list")
