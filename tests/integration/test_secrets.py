"""Passwords, keys and what people write are never in the log: not at LogLevel=debug, and not when something fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from field_kinds import is_repeated
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dbproxy.testing import Client, FileServer, ProxyProcess, Stack, StartupError
from dbproxy.testing.client import pack
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import COMMANDS, Command
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2

WORD = "zqx"
"""What is looked for: it begins every text and every secret here, and nothing else has it."""

TEXT = f"秘{WORD}👍{WORD}"
"""What people write. MySQL quotes a text from the first character on that a column does not take."""

SECRETS = {
    "teamtalk_master_username": "keeper",
    "teamtalk_slave_username": "keeper",
    "teamtalk_master_password": f"{WORD}-mysql",
    "teamtalk_slave_password": f"{WORD}-mysql",
    "token_username": "keeper",
    "token_password": f"{WORD}-redis",
    "aesKey": f"{WORD}-aes-key-of-32-characters-{WORD}".ljust(32, "!"),
}

TEXT_TYPES = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob"], groups={1: [1, 2]})]


@pytest.fixture(autouse=True)
def accounts(stack: Stack) -> Iterator[None]:
    """Accounts of MySQL and Redis with passwords that are secret."""
    stack.rows(f"create user keeper@127.0.0.1 identified by '{WORD}-mysql'")
    stack.rows("grant all on *.* to keeper@127.0.0.1")
    with stack.redis() as redis:
        redis.execute_command("ACL", "SETUSER", "keeper", "on", f">{WORD}-redis", "~*", "+@all")
    yield
    stack.reset()  # this starts what a test has killed
    with stack.redis() as redis:
        redis.execute_command("ACL", "DELUSER", "keeper")
    stack.rows("drop user keeper@127.0.0.1")


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with FileServer() as files, ProxyProcess(stack, {**SECRETS, "MsfsSite": files.site, "LogLevel": "debug"}) as running:
        yield running


def fill(request: Message) -> Message:
    """Put the text into every text field, 1 into every number, and a list of one into every list, also in what is nested."""
    for field in request.DESCRIPTOR.fields:
        if field.message_type is not None:
            inner = getattr(request, field.name)
            fill(inner.add() if is_repeated(field) else inner)
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            value: object = TEXT
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = TEXT.encode()
        else:
            value = field.enum_type.values[0].number if field.enum_type is not None else 1
        if is_repeated(field):
            getattr(request, field.name).append(value)
        else:
            setattr(request, field.name, value)
    return request


def has_text(command: Command[Any, Any]) -> bool:
    return any(field.type in TEXT_TYPES for field in command.request.DESCRIPTOR.fields)


def say_everything(client: Client) -> None:
    """Send each command with its text fields filled, then with bytes behind it that do not parse, and messages of every kind."""
    for command in COMMANDS.values():
        body = fill(command.request()).SerializeToString()
        client.send_raw(pack(command.service_id, command.command_id, body, seq_num=1))
        client.send_raw(pack(command.service_id, command.command_id, body + TEXT.encode(), seq_num=2))
    client.send_raw(pack(3, 0x7777, TEXT.encode()))
    for kind in (base.MSG_TYPE_SINGLE_TEXT, base.MSG_TYPE_SINGLE_AUDIO, base.MSG_TYPE_GROUP_TEXT, base.MSG_TYPE_GROUP_AUDIO):
        for peer in (1, 2, 99):
            message = COMMANDS[0x0301].request(
                from_user_id=1,
                to_session_id=peer,
                msg_id=0,
                create_time=1,
                msg_type=kind,
                msg_data=TEXT.encode(),
                attach_data=TEXT.encode(),
            )
            client.send(message)
    client.login(TEXT, TEXT)


def leaks(proxy: ProxyProcess) -> list[str]:
    """The lines of the log that hold what they must not."""
    return [line for line in proxy.log().splitlines() if WORD in line]


def test_every_command_is_looked_at() -> None:
    """Texts of commands that have some are really sent."""
    assert sum(has_text(command) for command in COMMANDS.values()) > 20
    for command in COMMANDS.values():
        assert (TEXT.encode() in fill(command.request()).SerializeToString()) == has_text(command)


def test_nothing_that_people_write_is_logged_when_all_goes_well(proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        say_everything(client)
    assert proxy.stop() == 0
    assert "unknown command 0x7777" in proxy.log()
    assert leaks(proxy) == []


COLUMNS = {
    "IMUser": "sign_info",
    "IMGroup": "name",
    "IMTransmitFile": "taskId",
    "IMMessage_1": "content",
    "IMGroupMessage_1": "content",
}


@pytest.fixture
def narrow_columns(stack: Stack) -> Iterator[None]:
    """Columns that do not take the texts; MySQL's complaints quote what it was given."""
    before: list[str] = []
    for table, column in COLUMNS.items():
        created = str(stack.rows(f"show create table {table}")[0]["Create Table"])
        definition = next(line.strip().rstrip(",") for line in created.splitlines() if line.strip().startswith(f"`{column}`"))
        before.append(f"alter table {table} modify {definition}")
        stack.rows(f"alter table {table} modify {column} varchar(60) character set latin1 not null default ''")
    yield
    for statement in before:
        stack.rows(statement)


@pytest.mark.usefixtures("narrow_columns")
def test_texts_of_statements_that_mysql_refuses_are_not_logged(stack: Stack, proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        say_everything(client)
        assert eventually(lambda: proxy.log().count(" (what the server says is left out)") > 3, True)
        if stack.mariadb.is_mysql:  # it quotes text that it cannot compare with a column, in words of its own
            client.delete_offline_file(1, 2, TEXT)
            assert eventually(lambda: "(3854) CANNOT_CONVERT_STRING" in proxy.log(), True)
    assert proxy.stop() == 0
    assert "(1366) TRUNCATED_WRONG_VALUE_FOR_FIELD" in proxy.log()
    assert leaks(proxy) == []


def test_texts_of_duplicate_rows_are_not_logged(stack: Stack, proxy: ProxyProcess) -> None:
    stack.rows("alter table IMTransmitFile add unique index once (taskId)")
    try:
        with proxy.client() as client:
            for _ in range(2):
                client.add_offline_file(1, 2, TEXT, file_name=TEXT)
            assert eventually(lambda: "(1062) DUP_ENTRY" in proxy.log(), True)
    finally:
        stack.rows("alter table IMTransmitFile drop index once")
    assert leaks(proxy) == []


def test_lost_connections_bring_no_text_into_the_log(stack: Stack, proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        assert client.login("alice").result_code == 0
        stack.redis_server.kill()
        say_everything(client)
        stack.mariadb.kill()
        say_everything(client)
        assert eventually(lambda: "MySQL instance" in proxy.log() and "Redis instance" in proxy.log(), True)
    assert proxy.stop() == 0
    assert leaks(proxy) == []


DEFECT = """
from dbproxy.models.user import UserModel

def change_sign_info(self, user_id, sign_info):
    raise ValueError(f"cannot use {sign_info!r}") from KeyError(sign_info)

UserModel.change_sign_info = change_sign_info
"""
"""A defect made on purpose, which the interpreter of the proxy loads before it starts."""


def test_the_traceback_of_a_defect_shows_the_place_and_not_the_words(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEFECT)
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    with ProxyProcess(stack, SECRETS, env={"PYTHONPATH": path}) as proxy, proxy.client() as client:
        assert client.ask(buddy_pb2.IMChangeSignInfoReq(user_id=1, sign_info=TEXT), buddy_pb2.IMChangeSignInfoRsp).result_code == 1
        assert client.login("alice").result_code == 0
    log = proxy.log()
    assert "CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST [peer=127.0.0.1:" in log
    assert "sitecustomize.py" in log
    assert "ValueError (what it says is left out)" in log
    assert leaks(proxy) == []


@pytest.mark.parametrize("key", ["teamtalk_master_password", "teamtalk_slave_password", "token_password"])
def test_a_wrong_password_is_not_repeated(stack: Stack, key: str) -> None:
    proxy = ProxyProcess(stack, {**SECRETS, key: f"{WORD}-wrong", "LogLevel": "debug"})
    with pytest.raises(StartupError):
        proxy.start()
    assert proxy.returncode == 3
    assert key in proxy.log()
    assert leaks(proxy) == []


def test_a_password_that_is_changed_under_a_running_proxy_is_not_repeated(stack: Stack, proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        assert client.login("alice").result_code == 0
        stack.rows("alter user keeper@127.0.0.1 identified by 'another'")
        with stack.redis() as redis:
            redis.execute_command("ACL", "SETUSER", "keeper", "resetpass", ">another")
            redis.execute_command("CLIENT", "KILL", "USER", "keeper")
        for row in stack.rows("select id from information_schema.processlist where user='keeper'"):
            with contextlib.suppress(pymysql.err.OperationalError):  # it may be gone by now
                stack.rows(f"kill {row['id']}")
        assert client.login("alice").result_code == 2
        client.send(COMMANDS[0x0705].request(user_id=[1]))
        assert eventually(lambda: "Access denied" in proxy.log() and "invalid username-password pair" in proxy.log(), True)
    assert leaks(proxy) == []
