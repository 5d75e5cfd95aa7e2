"""What a store call is called in a log: verb and table, or the command; never a value."""

from __future__ import annotations

import pytest

from dbproxy.stores.backend_calls import CONNECTING, FREE_CONNECTION
from dbproxy.stores.mysql import statement_name
from dbproxy.stores.redis import pipeline_name

STATEMENTS = {
    "select id from IMUser where id in (1,2)": "select IMUser",
    "select * from IMUser where sign_info='select a from IMSecret'": "select IMUser",
    "insert into IMMessage_3(content) values('from IMGroup')": "insert IMMessage_3",
    "update IMRecentSession set status=1": "update IMRecentSession",
    "delete from IMTransmitFile where id=1": "delete IMTransmitFile",
    "(select * from IMGroupMessage_1 limit 1) union all (select * from IMGroupMessage_2)": "select IMGroupMessage_1",
    "select (select concat(id) from IMMessage_0 order by id desc limit 1)": "select IMMessage_0",
    "select get_lock('dbproxy.group.9',5.0)": "select get_lock",
    "do release_lock('dbproxy.group.9')": "do release_lock",
    "select host from information_schema.processlist where id=1": "select information_schema.processlist",
    "begin": "begin",
    "commit": "commit",
    "select 'a secret from somebody'": "select",
    "'a secret'": "statement",
    "": "statement",
}


@pytest.mark.parametrize(("statement", "name"), STATEMENTS.items())
def test_a_statement_is_called_by_verb_and_table(statement: str, name: str) -> None:
    assert statement_name(statement) == name


def test_a_script_is_called_by_the_statement_that_it_was_at() -> None:
    statements = ("begin", "select id from IMGroup where id=9 for update", "insert into IMGroupMessage_3 values(1)", "commit")
    assert statement_name((statements, 1)) == "select IMGroup (script of 4)"
    assert statement_name((statements, 2)) == "insert IMGroupMessage_3 (script of 4)"
    assert statement_name((statements[:1], 0)) == "begin"


def test_a_pipeline_is_called_by_its_first_command() -> None:
    assert pipeline_name([("HGETALL", "unread_1")]) == "HGETALL"
    assert pipeline_name([("HGETALL", "unread_1")] * 12) == "HGETALL and 11 more"


@pytest.mark.parametrize("wait", [CONNECTING, FREE_CONNECTION])
def test_what_is_no_statement_has_a_name_of_its_own(wait: object) -> None:
    assert statement_name(wait) == pipeline_name(wait) == str(wait)
