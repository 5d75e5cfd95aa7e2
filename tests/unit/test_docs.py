"""The documents say what is: keys and defaults, files and tests that they name, and the two READMEs the same."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dbproxy
from dbproxy.config_keys import (
    ADMIN_KEYS,
    CACHE_INSTANCE_KEYS,
    CACHE_INSTANCES,
    DB_INSTANCE_KEYS,
    DB_INSTANCES,
    OPTIONAL_KEYS,
    REQUIRED_KEYS,
    TLS_KEYS,
)
from dbproxy.doctor.kinds import Kind
from dbproxy.models import names
from dbproxy.stores.mysql.schema import LOCK_TABLE, REQUIRED_TABLES, SHARDS
from dbproxy.testing.stack import pool_of
from dbproxy.wire.commands import COMMANDS
from devtools.man_pages import console_scripts, parser_of

ROOT = Path(__file__).parent.parent.parent
READMES = ("README.md", "README.zh-CN.md")
EQUAL_PAGES = (
    "INSTALL",
    "ADMIN",
    "METRICS",
    "STORAGE",
    "TROUBLESHOOTING",
    "HOWTO-REPLACE",
    "HOWTO-MEND",
    "HOWTO-UPGRADE",
    "HOWTO-SEVERAL",
    "HOWTO-MYSQL-FAILOVER",
    "HOWTO-SENTINEL",
    "HOWTO-GALERA",
    "TOPOLOGIES",
    "SCALE",
    "HOWTO-REDIS-CLUSTER",
    "SMOKE",
    "HOWTO-TEST-YOUR-PROXY",
    "HARNESS",
    "CONFORMANCE",
    "TAP",
    "LOAD",
)
"""Pages in docs/ whose two languages have the same parts."""
DOCUMENTS = [
    *READMES,
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))),
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_lists_every_optional_key_with_its_default(readme: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| +(?:`([^`]*)` )?\| ", text_of(readme), re.MULTILINE)
    keys = {key.name: key.default for key in OPTIONAL_KEYS}
    keys |= {"NAME" + key.name: key.default for key in (*TLS_KEYS, *CACHE_INSTANCE_KEYS) if key.default is not None}
    assert dict(rows) == keys


@pytest.mark.parametrize(("document", "heading"), [("docs/ADMIN.md", "Keys"), ("docs/ADMIN.zh-CN.md", "配置项")])
def test_the_page_on_administration_lists_every_key_of_it_with_its_default(document: str, heading: str) -> None:
    section = text_of(document).partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| +(?:`([^`]*)` )?\| ", section, re.MULTILINE)
    assert dict(rows) == {key.name: key.default for key in ADMIN_KEYS}


def commands_below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command of a parser with its parser: ``groups members add``."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not nested:
        yield "", parser
    for action in nested:
        for name, below in action.choices.items():
            yield from ((f"{name} {command}".strip(), its) for command, its in commands_below(below))


@pytest.mark.parametrize("document", ["docs/ADMIN.md", "docs/ADMIN.zh-CN.md"])
def test_the_page_on_administration_names_every_command_and_no_option_that_there_is_not(document: str) -> None:
    text = text_of(document)
    parsers = dict(commands_below(parser_of(console_scripts()["dbproxy-admin"])))
    assert len(parsers) > 30
    assert [command for command in parsers if not re.search(rf"(`|dbproxy-admin ){command}\b", text)] == []
    options = {option for parser in parsers.values() for action in parser._actions for option in action.option_strings}
    of_others = {"--config", "--set", "--merge", "--restore", "--repair"}  # of all commands, and of dbproxy-audit
    of_the_system = {"--now"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - options - of_others - of_the_system == set()


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_names_every_key_that_is_needed(readme: str) -> None:
    keys = [key.name for key in (*REQUIRED_KEYS, DB_INSTANCES, CACHE_INSTANCES)]
    keys += ["NAME" + key.name for key in (*DB_INSTANCE_KEYS, *CACHE_INSTANCE_KEYS) if key.default is None]
    assert [key for key in keys if f"`{key}`" not in text_of(readme)] == []


@pytest.mark.parametrize(("document", "restart"), [("docs/RELOAD.md", "needs a restart"), ("docs/RELOAD.zh-CN.md", "需要重启")])
def test_the_table_of_reloads_lists_every_key_and_names_those_that_need_a_restart(document: str, restart: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text_of(document), re.MULTILINE))
    keys = {key.name: key for key in (*REQUIRED_KEYS, *OPTIONAL_KEYS, DB_INSTANCES, CACHE_INSTANCES)}
    keys |= {"NAME" + key.name: key for key in (*DB_INSTANCE_KEYS, *CACHE_INSTANCE_KEYS, *TLS_KEYS)}
    assert set(rows) == set(keys)
    assert {name for name, text in rows.items() if restart in text} == {name for name, key in keys.items() if key.restart}


@pytest.mark.parametrize(("english", "chinese"), [READMES, *((f"docs/{page}.md", f"docs/{page}.zh-CN.md") for page in EQUAL_PAGES)])
def test_the_two_languages_have_the_same_parts(english: str, chinese: str) -> None:
    def parts(document: str) -> list[str]:
        # headings, rows of tables with their first cell when it is code, steps, list entries, and blocks of code
        text = re.sub(r" {2,}#.*", "", text_of(document))
        code = re.findall(r"^    [^\n]*$|^```python\n.*?^```$", text, re.MULTILINE | re.DOTALL)
        skeleton = re.findall(r"^#+ |^\d\. |^- |^\| (?:`\w+` )?", text, re.MULTILINE)
        return code + skeleton

    assert parts(english) == parts(chinese)


STORAGE = ("docs/STORAGE.md", "docs/STORAGE.zh-CN.md")


@pytest.mark.parametrize("document", STORAGE)
def test_every_table_and_column_of_the_proxy_is_explained(document: str) -> None:
    explained: dict[str, set[str]] = {}
    for section in re.split(r"^### ", text_of(document).partition("\n## Redis")[0], flags=re.MULTILINE)[1:]:
        mentioned = re.findall(r"IM\w+", section.partition("\n")[0])
        columns = {column for cell in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE) for column in re.findall(r"`(\w+)`", cell)}
        tables = mentioned if len(mentioned) == 1 else [f"{mentioned[0].removesuffix('0')}{shard}" for shard in range(SHARDS)]
        assert mentioned[-1] == tables[-1]
        explained |= dict.fromkeys(tables, columns)
    # every table has an id; the pages say so once
    assert {table: columns | {"id"} for table, columns in explained.items()} == {
        **{table: set(columns) for table, columns in REQUIRED_TABLES.items()},
        LOCK_TABLE: {"id", "n"},
    }


@pytest.mark.parametrize("document", STORAGE)
def test_every_redis_key_is_explained_with_its_pool(document: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (?:string|hash|set)", text_of(document), re.MULTILINE)
    ids = {"relateId": 12, "groupId": 9, "userId": 7, "TOKEN": "abc"}
    keys = {
        names.msg_id_key(12),
        names.group_msg_id_key(9),
        names.unread_key(7),
        names.group_count_key(9),
        names.user_group_count_key(7, 9),
        names.TOTAL_USER_UPDATE_KEY,
        names.LAST_UPDATE_GROUP_KEY,
        names.GROUP_SYNC_OWNER_KEY,
        names.group_member_key(9),
        names.staged_members_key(9),
        names.staged_members_key(9, "abc"),
        names.group_set_key(9),
        names.device_key(b"7").decode(),
        names.device_key(b"abc").decode(),
    }
    found = {}
    for pool, key in rows:
        for name, value in ids.items():
            key = key.replace(f"{{{name}}}", str(value))
        found[key] = pool
    assert found == {key: pool_of(key) for key in keys}
    functions = [name for name in vars(names) if name.endswith(("_key", "_KEY"))]
    assert len(functions) + 2 == len(keys)  # device_key and staged_members_key make two of them


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings_that_are_there(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors_of(path), target


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "docs/RELIABILITY.md"])
def test_source_files_that_are_named_exist(document: str) -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text_of(document))) - {"tests/integration/test_avatar.py"}  # an example
    bases = (ROOT, ROOT / "dbproxy", *(path for path in (ROOT / "tests").iterdir() if path.is_dir()))
    assert {name for name in named if not any((base / name).exists() for base in bases)} == set()


def test_every_test_that_the_differences_name_exists() -> None:
    text = text_of("docs/DIFFERENCES.md")
    files = {path.relative_to(ROOT / "tests").as_posix(): path for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(\w+/test_\w+\.py)", text))
    assert named
    assert named <= set(files)
    defined = set(re.findall(r"^def (test_\w+)", "\n".join(files[name].read_text(encoding="utf-8") for name in named), re.MULTILINE))
    assert {name for name in re.findall(r"\b(test_\w+)(?!\w|\.py)", text) if name not in defined} == set()
    cases = {case["name"] for case in json.loads((ROOT / "dbproxy/conformance/data/better.json").read_text(encoding="utf-8"))}
    for line in re.findall(r"recording ((?:`\w+`,?\s*)+)", text):
        assert set(re.findall(r"`(\w+)`", line)) <= cases


def test_the_architecture_lists_every_command_with_its_messages() -> None:
    rows = re.findall(r"^\| 0x(\w{4}) \| `(\w+)` \| (?:`(\w+)` \(0x(\w{4})\)|—) \| `\w+\.\w+` \|", text_of("ARCHITECTURE.md"), re.MULTILINE)
    want = {
        (
            f"{command.command_id:04x}",
            command.request.__name__,
            command.reply.__name__ if command.reply else "",
            f"{command.reply_command_id:04x}" if command.reply else "",
        )
        for command in COMMANDS.values()
    }
    assert set(rows) == want


@pytest.mark.parametrize("document", ["docs/DOCTOR.md", "docs/DOCTOR.zh-CN.md"])
def test_every_kind_of_finding_is_explained_once(document: str) -> None:
    explained = re.findall(r"^\| `([a-z][a-z-]*)` \| .+ \|.*\|$", text_of(document), re.MULTILINE)
    assert sorted(explained) == sorted(kind.value for kind in Kind)


def test_every_kind_of_finding_is_used() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dbproxy" / "doctor").rglob("*.py"))
    assert [kind.name for kind in Kind if f"Kind.{kind.name}" not in sources] == []


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert next(heading for heading in headings if heading != "Unreleased") == dbproxy.__version__
    assert "Unreleased" not in headings[1:]


@pytest.mark.parametrize("document", ["docs/TOPOLOGIES.md", "docs/TOPOLOGIES.zh-CN.md"])
def test_everything_that_may_not_be_promised_is_explained_once(document: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "dbproxy" / "stores").rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'Limitation\(\s*"(\w+)"', source)}
    assert sorted(re.findall(r"^\| `(\w+)` \| (?:info|warning) \|", text_of(document), re.MULTILINE)) == sorted(names)


TROUBLESHOOTING = ("docs/TROUBLESHOOTING.md", "docs/TROUBLESHOOTING.zh-CN.md")
TOOLS = {"testing", "bench", "audit", "doctor", "install", "admin"}
"""Packages whose lines do not stand in the log of a proxy."""

NOT_LITERAL = {
    "...",  # warnings about keys of the configuration, in cli.py and reload.py
    "...: ...",
    None,  # in cli.py and reload.py
}
"""What a search for texts of calls finds where the text comes from elsewhere; ``FROM_ELSEWHERE`` has these."""

FROM_ELSEWHERE = {"cannot start: ...", "unexpected error: ...", "configuration not reloaded, everything stays as it was: ..."}


def literal(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return "".join(literal(part) or "%s" for part in (node.left, node.right))
    return None


def warnings_of_the_proxy() -> set[str | None]:
    """The texts of level WARNING and above, or of a level that is decided later; "..." for what is filled in."""
    texts: set[str | None] = set()
    for path in (ROOT / "dbproxy").rglob("*.py"):
        if path.relative_to(ROOT / "dbproxy").parts[0] in TOOLS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
                continue
            if node.func.value.id in ("logger", "_log") and node.func.attr in ("warning", "error", "critical", "exception", "log"):
                text = literal(node.args[node.func.attr == "log"])
                texts.add(None if text is None else re.sub(r"%[-.\d]*[a-z]", "...", text))
    return texts


@pytest.mark.parametrize("document", TROUBLESHOOTING)
def test_every_warning_of_the_log_is_explained_once(document: str) -> None:
    heading = "## Log lines" if "zh" not in document else "## 日志"
    rows = re.findall(r"^\| `([^|]+)` \| [^|]+ \| [^|]+ \|$", text_of(document).partition(f"\n{heading}\n")[2], re.MULTILINE)
    assert sorted(rows) == sorted({text for text in warnings_of_the_proxy() - NOT_LITERAL if text} | FROM_ELSEWHERE)
