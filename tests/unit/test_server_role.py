"""What is concluded from the answers of a server, and from those that it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pymysql
import pytest

from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.result import Row
from dbproxy.stores.mysql.server_role import ServerRole, ask_role

DENIED = pymysql.err.OperationalError(1142, "SELECT command denied to user 'app'")
UNKNOWN_VARIABLE = pymysql.err.OperationalError(1193, "Unknown system variable")
READ_ONLY_REPLICA = (b"1000", b"1", b"0", b"uuid", b"0")
PRIMARY = (b"1000", b"0", b"0", b"uuid", b"0")


class Server:
    """Answers a statement in which one of these words stands."""

    open = True

    def __init__(self, answers: Mapping[str, Sequence[Row] | Exception], *, is_mariadb: bool = False) -> None:
        self.is_mariadb = is_mariadb
        self._answers = answers

    def select(self, statement: str) -> Sequence[Row]:
        answer = next((answer for word, answer in self._answers.items() if word in statement), UNKNOWN_VARIABLE)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def results_of(self, statements: Sequence[str]) -> Iterator[SimpleNamespace]:
        for statement in statements:
            yield SimpleNamespace(rows=self.select(statement))


def role(server: Server, *, of_several: bool = True) -> ServerRole:
    return ask_role(cast("DBConn", server), of_several=of_several)


def test_an_account_that_may_not_read_performance_schema_sees_what_a_server_is() -> None:
    answers: dict[str, Sequence[Row] | Exception] = {"performance_schema": DENIED, "max_allowed_packet": [READ_ONLY_REPLICA]}
    found = role(Server(answers))
    assert (found.identity, found.refusal, found.not_known) == ("uuid", "it is read-only", "")


@pytest.mark.parametrize(("single_primary", "has_other_writers"), [(b"1", False), (b"0", True)])
def test_so_it_does_of_a_replication_group(single_primary: bytes, has_other_writers: bool) -> None:
    settings = [(b"name", single_primary)]
    found = role(Server({"performance_schema": DENIED, "group_replication": settings, "max_allowed_packet": [PRIMARY]}))
    assert found.has_other_writers == has_other_writers
    assert found.takes_writes
    assert found.not_known.startswith("the state of its replication group (SELECT command denied")


def test_a_member_without_a_majority_takes_no_writes_if_that_may_be_asked() -> None:
    members = [(b"1", b"ONLINE"), (b"0", b"UNREACHABLE"), (b"0", b"UNREACHABLE")]
    settings = [(b"name", b"1")]
    server = Server({"performance_schema": members, "group_replication": settings, "max_allowed_packet": [PRIMARY]})
    assert "majority" in role(server).refusal


def test_a_mariadb_that_was_built_without_galera_is_known_all_the_same() -> None:
    found = role(Server({"wsrep": UNKNOWN_VARIABLE, "max_allowed_packet": [(b"1000", b"1", b"0", b"host:3306:1")]}, is_mariadb=True))
    assert (found.identity, found.refusal, found.not_known) == ("host:3306:1", "it is read-only", "")


@pytest.mark.parametrize("is_mariadb", [False, True])
def test_what_has_none_of_these_variables_is_used_and_says_so(is_mariadb: bool) -> None:
    found = role(Server({"0,0,''": [(b"1000", b"0", b"0", b"")]}, is_mariadb=is_mariadb))
    assert (found.identity, found.refusal) == ("", "")
    assert found.not_known == "which server it is and whether it is read-only (Unknown system variable)"
