"""The log line about a request that took long, with real locks in MySQL and a Redis that is late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dbproxy.testing import Client, Stack
from dbproxy.testing.waiting import eventually

pytestmark = [pytest.mark.dbproxy(SlowRequest=0.3), pytest.mark.data(users=("alice", "bob"), groups={9: (1, 2)})]


@contextmanager
def locked_for_a_while(stack: Stack, statement: str) -> Iterator[None]:
    """Hold row locks for half a second from the beginning of the block."""
    connection = stack.mysql()
    connection.begin()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    timer = threading.Timer(0.5, connection.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        connection.close()


def slow_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "was slow" in record.getMessage()]


def seconds_after(line: str, word: str) -> float:
    return float(line.split(word + " ")[1].split(" s")[0])


def test_a_request_that_waits_for_a_locked_row_is_logged_with_its_statement(
    stack: Stack, dbproxy_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with locked_for_a_while(stack, "select id from IMUser where id=1 for update"):
        assert dbproxy_client.change_sign_info(1, "very private words").result_code == 0
    assert eventually(lambda: len(slow_lines(caplog)), 1) == 1
    (line,) = slow_lines(caplog)
    assert line.startswith("CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST was slow")
    assert "longest: update IMUser)" in line
    assert "user=1" in line
    assert "private" not in line
    assert seconds_after(line, "(MySQL") > 0.2
    assert seconds_after(line, "Redis") < 0.2


def test_in_a_script_the_statement_that_waited_is_named(stack: Stack, dbproxy_client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with locked_for_a_while(stack, "select id from IMGroup where id=9 for update"):
        dbproxy_client.send_group_message(1, 9, "very private words")
    assert eventually(lambda: len(slow_lines(caplog)), 1) == 1
    (line,) = slow_lines(caplog)
    assert "longest: select IMGroup (script of " in line
    assert "private" not in line


def test_waiting_for_redis_is_named_by_its_command(stack: Stack, dbproxy_client: Client, caplog: pytest.LogCaptureFixture) -> None:
    stack.redis("unread").client_pause(500)
    dbproxy_client.unread(1)
    assert eventually(lambda: len(slow_lines(caplog)), 1) == 1
    (line,) = slow_lines(caplog)
    assert seconds_after(line, "Redis") > 0.2
    assert "longest: H" in line


@pytest.mark.dbproxy(SlowRequest=0)
def test_with_zero_nothing_is_logged(stack: Stack, dbproxy_client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with locked_for_a_while(stack, "select id from IMUser where id=1 for update"):
        dbproxy_client.change_sign_info(1, "late")
    dbproxy_client.user_info([1])
    assert slow_lines(caplog) == []
