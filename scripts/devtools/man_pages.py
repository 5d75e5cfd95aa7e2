"""The manual pages of all commands, made from their argument parsers: what ``--help`` says and what ``man`` says is the same text.

The commands are the console scripts of setup.cfg. How argparse keeps what was added to a parser is not public: ``parser_of``, ``_groups``
and ``_commands`` are the only places that know it. The pages do not depend on the version of Python that makes them.
"""

from __future__ import annotations

import argparse
import configparser
import importlib
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn
from unittest import mock

ROOT = Path(__file__).parents[2]
PAGES = Path("docs/man")

SECTIONS = {"db_proxy_server": 8}
"""Commands whose section is not 1."""

DAEMON = "db_proxy_server"
FILES = {
    "dbproxyserver.conf": "The configuration; the keys are explained in the file that dbproxy-init writes.",
    "server.pid": "The process id of the daemon, in its working directory; written once it listens.",
}
WIDTH = 78


def console_scripts(setup: Path = ROOT / "setup.cfg") -> dict[str, str]:
    """Return command → ``module:function``, as setup.cfg has them."""
    config = configparser.ConfigParser()
    config.read(setup, encoding="utf-8")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): target.strip() for name, target in (line.split("=", 1) for line in lines)}


class _Parser(BaseException):
    """Carries the parser out of the command; a BaseException, which no command catches."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(target: str) -> argparse.ArgumentParser:
    """Return the parser of a command, ``module:function``: the one with which it begins to parse its command line."""

    def stop(self: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _Parser(self)

    module, _, function = target.partition(":")
    command = getattr(importlib.import_module(module), function)
    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", stop):
        try:
            command()  # as the installed script does
        except _Parser as found:
            return found.parser
    raise LookupError(f"{target} has parsed no command line")


def _groups(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """Yield title and actions of each group of options; what ``--help`` hides is left out, and so are subcommands."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help is not argparse.SUPPRESS]
        actions = [action for action in actions if not isinstance(action, argparse._SubParsersAction)]
        if actions:
            yield group.title or "", actions


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return name → help and parser of each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (helps.get(name, ""), sub) for name, sub in action.choices.items()}
    return {}


def _leaves(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield words, help and parser of each command that has no commands of its own, at any depth."""
    for name, (text, sub) in _commands(parser).items():
        if _commands(sub):
            yield from ((f"{name} {words}", help_, leaf) for words, help_, leaf in _leaves(sub))
        else:
            yield name, text, sub


def page(name: str, parser: argparse.ArgumentParser, others: Mapping[str, int], version: str, date: str) -> str:
    """Return the page of the command ``name`` as roff (man macros); ``others`` are the commands to be named, with their sections."""
    section = SECTIONS.get(name, 1)
    description = parser.description or ""
    lines = [
        ".\\\" Made by scripts/generate_man from the command's parser.",
        f'.TH {name} {section} {date} "dbproxy {version}"',
        ".ad l",
        *(".SH NAME", f"{_escape(name)} \\- {_escape(_first_sentence(description))}"),
        *(".SH SYNOPSIS", *_synopsis(name, parser)),
        *(".SH DESCRIPTION", *_text(description)),
    ]
    for title, actions in _groups(parser):
        heading = {"positional arguments": "ARGUMENTS", "options": "OPTIONS", "optional arguments": "OPTIONS"}.get(title, title.upper())
        lines += [f".SH {_escape(heading)}", *_options(parser, actions)]
    common = {option for _, actions in _groups(parser) for action in actions for option in action.option_strings}
    commands = list(_leaves(parser))
    if commands:
        lines.append(".SH COMMANDS")
        for command, text, sub in commands:
            lines += [f".SS {_escape(command)}", *_synopsis(f"{name} {command}", sub, common), ".PP", *_text(sub.description or text)]
            for _, actions in _groups(sub):
                lines += _options(sub, [action for action in actions if not common.intersection(action.option_strings)])
    lines += _epilog(parser.epilog or "")
    if any("--config" in action.option_strings for _, actions in _groups(parser) for action in actions):
        lines.append(".SH FILES")
        for file, text in FILES.items():
            if name == DAEMON or file != "server.pid":
                lines += [".TP", f".I {_escape(file)}", *_text(text)]
    if others:
        lines += [".SH SEE ALSO", *_references(others)]
    return "\n".join(lines) + "\n"


def _references(others: Mapping[str, int]) -> list[str]:
    ordered = sorted(others.items(), key=lambda item: (item[1], item[0]))
    return [f".BR {_escape(name)} ({section}){',' if index < len(ordered) - 1 else ''}" for index, (name, section) in enumerate(ordered)]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\w)[.:](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def _synopsis(name: str, parser: argparse.ArgumentParser, described: Collection[str] = ()) -> list[str]:
    """Return the usage of a command; a subcommand's leaves out the options that are ``described`` with the command itself."""
    words, arguments = [], []
    for _, actions in _groups(parser):
        for action in actions:
            if not action.option_strings:
                arguments.append(_value(action))
            elif not isinstance(action, argparse._HelpAction) and not set(described).intersection(action.option_strings):
                value = "" if action.nargs == 0 else " " + _value(action)
                word = f"\\fB{_escape(action.option_strings[0])}\\fR{value}"
                words.append(word if action.required else f"[{word}]")
    arguments += ["\\fICOMMAND\\fR ..."] if _commands(parser) else []
    return [".nh", f".B {_escape(name)}", *words, *arguments, ".hy"]


def _options(parser: argparse.ArgumentParser, actions: Sequence[argparse.Action]) -> Iterator[str]:
    for action in actions:
        value = "" if action.nargs == 0 or not action.option_strings else " " + _value(action)
        names = [f"\\fB{_escape(option)}\\fR{value}" for option in action.option_strings] or [_value(action)]
        yield ".TP"
        yield ", ".join(names)
        fields = {**vars(action), "prog": parser.prog}
        if action.choices is not None:
            fields["choices"] = ", ".join(str(choice) for choice in action.choices)
        yield from _text((action.help or "") % fields)


def _value(action: argparse.Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.metavar is None and action.choices is not None:
        metavar = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    word = f"\\fI{_escape(' '.join(metavar) if isinstance(metavar, tuple) else metavar)}\\fR"
    forms = {"?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} ..."}
    return forms.get(str(action.nargs), word)


def _epilog(text: str) -> list[str]:
    found = re.match(r"Exit status: (.*)", text, re.DOTALL)
    if found is None:
        return [".SH NOTES", *_text(text)] if text else []
    lines = [".SH EXIT STATUS"]
    for code, meaning in re.findall(r"(\d+) (.*?)(?:[,;] (?=\d+ )|\.?\s*\Z)", found[1], re.DOTALL):
        lines += [".TP", f".B {code}", *_text(meaning)]
    return lines


def _text(text: str) -> Iterator[str]:
    """Yield lines of running text; blank lines in it begin new paragraphs."""
    for number, paragraph in enumerate(filter(None, (part.strip() for part in re.split(r"\n\s*\n", text)))):
        if number:
            yield ".PP"
        for sentence in re.split(r"(?<=[.;]) ", " ".join(paragraph.split())):
            yield from (_escape(line) for line in textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False))


def _escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def make(root: Path = ROOT) -> dict[str, str]:
    """Return file name → page, for every command."""
    scripts = console_scripts(root / "setup.cfg")
    sections = {name: SECTIONS.get(name, 1) for name in scripts}
    version = re.search(r'__version__ = "(.+)"', (root / "dbproxy" / "__init__.py").read_text(encoding="utf-8"))
    date = re.search(r"^## \S+ \((\d{4}-\d\d-\d\d)\)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if version is None or date is None:
        raise LookupError("no version in dbproxy/__init__.py, or no date in CHANGELOG.md")
    pages = {}
    for name, target in scripts.items():
        others = {other: section for other, section in sections.items() if other != name and DAEMON in (name, other)}
        pages[f"{name}.{sections[name]}"] = page(name, parser_of(target), others, version[1], date[1])
    return pages


def main() -> int:
    """Write the pages, or with ``--check`` compare them with what is there."""
    parser = argparse.ArgumentParser(prog="scripts/generate_man", description="Makes docs/man from the argument parsers of all commands.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    pages, folder = make(), ROOT / PAGES
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.[0-9]")}
    stale = sorted(name for name in {*pages, *present} if pages.get(name) != present.get(name))
    if check:
        print(f"out of date: {', '.join(stale)}" if stale else f"{len(pages)} pages are up to date")
        return 1 if stale else 0
    folder.mkdir(exist_ok=True)
    for name in stale:
        if name in pages:
            (folder / name).write_text(pages[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    print(f"{len(pages)} pages in {PAGES}, {len(stale)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
