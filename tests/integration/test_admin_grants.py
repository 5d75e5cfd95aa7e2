"""What docs/ADMIN.md says of the accounts of MySQL and Redis: with what the proxy needs and what stands there everything works, and each of
these privileges is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbproxy.admin.cli import main
from dbproxy.audit.cli import main as audit
from dbproxy.doctor.mysql.grants import DELETES, INSERTS, UPDATES
from dbproxy.doctor.redis.access import USAGE
from dbproxy.stores.mysql import schema
from dbproxy.testing import Stack, seed
from dbproxy.testing.stack import POOLS

pytestmark = [pytest.mark.watchdog(120), pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]})]

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("ADMIN.md", "ADMIN.zh-CN.md")]

Privilege = tuple[str, str]
"""Privilege and table."""

OF_THE_PROXY = (
    *(f"select on teamtalk.{table}" for table in schema.REQUIRED_TABLES),
    *(f"insert ({','.join(columns)}) on teamtalk.{table}" for table, columns in INSERTS.items()),
    *(f"update ({','.join(columns)}) on teamtalk.{table}" for table, columns in UPDATES.items()),
    *(f"delete on teamtalk.{table}" for table in DELETES),
)

NEEDS: Mapping[str, Sequence[Privilege]] = {
    "users add eve --department 1 -g": (("INSERT", "IMUser"),),
    "users edit bob --nick Bobby": (("UPDATE", "IMUser"),),
    "users passwd bob -g": (("UPDATE", "IMUser"),),
    "users disable bob": (("UPDATE", "IMUser"),),
    "departments add Sales": (("INSERT", "IMDepart"),),
    "departments rename 2 Support": (("UPDATE", "IMDepart"),),
    "departments move 2 --priority 7": (("UPDATE", "IMDepart"),),
    "departments remove 1 --move-users-to 2": (("UPDATE", "IMUser"), ("UPDATE", "IMDepart")),
    "groups create new --creator alice --members bob": (),
    "groups members add 9 dave": (),
    "groups members remove 9 bob": (),
    "groups rename 9 other": (("UPDATE", "IMGroup"),),
    "groups transfer 9 bob": (("UPDATE", "IMGroup"),),
    "groups dismiss 9": (("UPDATE", "IMGroup"),),
    "messages hide alice bob 1": (("UPDATE", "IMMessage_4"),),
    "messages hide --group 9 1": (("UPDATE", "IMGroupMessage_1"),),
    "prune --older-than 30d": (("DELETE", "IMMessage_4"), ("DELETE", "IMAudio"), ("DELETE", "IMGroupMessage_1")),
    "users list": (),
    "users show alice": (),
    "departments tree": (),
    "groups show 9": (),
    "devices list": (),
    "messages recent": (),
    "messages show alice bob": (),
    "stats": (),
}
"""Command → what it needs beyond that, in the order in which it needs it."""


AT_ONCE = NEEDS.keys() - {"departments remove 1 --move-users-to 2", "prune --older-than 30d"}
"""Those that change everything or nothing; the others go step by step, and can be given again."""


IN_TURN = (
    "users add eve --department 1 -g",
    "users edit bob --nick Bobby",
    "groups create new --creator alice --members bob",
    "groups members add 9 dave",
    "groups members remove 9 dave",
    "groups transfer 9 bob",
    "groups dismiss 9",
    "messages hide alice bob 1",
    "devices list",
    "devices forget carol",
    "stats",
)
"""What writes to Redis or reads there."""


def documented(page: Path) -> set[Privilege]:
    """The table of the page; a row for the first of the tables of messages stands for all eight."""
    found = set()
    for table, privileges in re.findall(r"^\| `(IM\w+)` \| `([A-Z, ]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE):
        tables = [f"{table[:-1]}{shard}" for shard in range(schema.SHARDS)] if table.endswith("_0") else [table]
        found |= {(privilege, name) for privilege in privileges.split(", ") for name in tables}
    return found


@contextmanager
def account(stack: Stack, privileges: set[Privilege]) -> Iterator[None]:
    stack.rows("create user clerk@127.0.0.1 identified by 'p'")
    try:
        for grant in (*OF_THE_PROXY, *(f"{privilege} on teamtalk.{table}" for privilege, table in sorted(privileges))):
            stack.rows(f"grant {grant} to clerk@127.0.0.1")
        yield
    finally:
        stack.rows("drop user clerk@127.0.0.1")


@pytest.fixture
def config(stack: Stack, tmp_path: Path) -> str:
    seed.department(stack, 1, "Engineering")
    seed.department(stack, 2, "Empty")
    seed.relation(stack, 1, 2, relate_id=12)
    seed.messages(stack, 1, 2, ["one", "two", "three"], relate_id=12)
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])
    audio = seed.insert(stack, "IMAudio", [{"fromId": 1, "toId": 2, "path": "x", "size": 1, "duration": 1, "created": seed.T0}])
    stack.rows("update IMMessage_4 set type=2,content=%s where msgId=1", (audio,))
    names = ("teamtalk_master", "teamtalk_slave")
    keys = {f"{name}_{key}": value for name in names for key, value in (("username", "clerk"), ("password", "p"))}
    return str(stack.write_config(overrides={**keys, "AdminDataDir": tmp_path / "admin"}))


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(config: str, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(command: Callable[[Sequence[str]], int], *arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = command(["--config", config, *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def test_both_languages_say_the_same() -> None:
    assert documented(PAGES[0]) == documented(PAGES[1])
    assert len(documented(PAGES[0])) == 6 + 4 * schema.SHARDS


@pytest.mark.parametrize("command", NEEDS)
def test_a_command_works_with_what_is_documented_and_needs_what_it_is_for(stack: Stack, run: Run, command: str) -> None:
    granted = documented(PAGES[0])
    assert granted.issuperset(NEEDS[command])
    rows = stack.snapshot()[0]
    for needed in NEEDS[command]:
        with account(stack, granted - {needed}):
            status, said = run(main, *command.split())
        assert (status in (1, 3), "denied" in said.lower()) == (True, True), said
        if command in AT_ONCE:
            assert stack.snapshot()[0] == rows
    with account(stack, granted):
        assert run(main, *command.split())[0] == 0


def test_every_documented_privilege_is_needed_by_a_command() -> None:
    used = {(privilege, re.sub(r"_\d$", "", table)) for needs in NEEDS.values() for privilege, table in needs}
    assert used == {(privilege, re.sub(r"_\d$", "", table)) for privilege, table in documented(PAGES[0])}


def test_a_merge_works_with_the_account_too(stack: Stack, run: Run, tmp_path: Path) -> None:
    stack.rows("update IMGroupMessage_1 set msgId=2")
    with account(stack, documented(PAGES[0])):
        status, said = run(audit, "--merge", "--apply", "--backup", str(tmp_path / "backup"))
        assert status == 0, said
    assert [row["msgId"] for row in stack.rows("select msgId from IMGroupMessage_1 order by created")] == [2, 4, 5]


def test_with_the_commands_that_are_documented_for_redis_everything_works(stack: Stack, run: Run, config: str, tmp_path: Path) -> None:
    seed.redis_key(stack, "device_2", "ios:abc")
    seed.redis_key(stack, "device_3", "ios:def")
    stack.rows("update IMGroupMessage_1 set msgId=2")
    of_the_proxy = {f"+{str(command[0]).lower()}" for usage in USAGE.values() for command in usage.commands}
    rules = ["~*", *sorted(of_the_proxy | {"+scan", "+del"}), "+multi", "+exec", "+info", "+ping", "+select"]
    with Path(config).open("a", encoding="utf-8") as file:
        file.writelines(f"{pool}_username=clerk\n{pool}_password=p\n" for pool in POOLS)
    with account(stack, documented(PAGES[0])), stack.redis("token") as client:
        client.execute_command("ACL", "SETUSER", "clerk", "reset", "on", ">p", *rules)
        try:
            assert run(audit, "--merge", "--apply", "--backup", str(tmp_path / "backup"))[0] == 0
            for command in (*IN_TURN, "users disable bob"):
                assert run(main, *command.split())[0] == 0, command
            assert client.get("device_2") is None
        finally:
            client.execute_command("ACL", "DELUSER", "clerk")
    assert all(f"`{command}`" in page.read_text(encoding="utf-8") for command in ("SCAN", "DEL") for page in PAGES)
