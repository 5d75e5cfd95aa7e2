"""dbproxy-doctor on real MySQL servers: a healthy one gives no warning, and each kind of trouble is named."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from examined import Examined, examined

from dbproxy.doctor.finding import Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql import check_databases
from dbproxy.doctor.mysql.grants import DELETES, INSERTS, UPDATES
from dbproxy.stores.mysql import schema
from dbproxy.testing import InProcessProxy, PrivateMariaDB, Stack, seed
from dbproxy.testing.servers import SCHEMA
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, file_pb2, group_pb2, login_pb2, message_pb2

MASTER, SLAVE = "MySQL teamtalk_master", "MySQL teamtalk_slave"
WARNING, ERROR = Level.WARNING, Level.ERROR
PATIENT: dict[str, Any] = {"teamtalk_master_username": "patient", "teamtalk_master_password": "zqx-secret"}

pytestmark = pytest.mark.watchdog(120)


def look(stack: Stack, **overrides: object) -> Examined:
    return examined(check_databases, stack, overrides)


@contextmanager
def account(stack: Stack, *grants: str) -> Iterator[None]:
    """An account ``patient`` with these privileges, which the master's pool may use."""
    stack.rows("create user patient@127.0.0.1 identified by 'zqx-secret'")
    try:
        for grant in grants:
            stack.rows(f"grant {grant} to patient@127.0.0.1")
        yield
    finally:
        stack.rows("drop user patient@127.0.0.1")


@contextmanager
def setting(stack: Stack, name: str, value: object) -> Iterator[None]:
    """A global variable with another value."""
    (row,) = stack.rows(f"select @@global.{name} as former")
    stack.rows(f"set global {name}=%s", (value,))
    try:
        yield
    finally:
        stack.rows(f"set global {name}=%s", (row["former"],))


@contextmanager
def altered(stack: Stack, statement: str, table: str) -> Iterator[None]:
    """A table that is changed, and made anew afterwards."""
    stack.rows(statement)
    try:
        yield
    finally:
        sql = SCHEMA.read_text(encoding="utf-8")
        stack.rows(f"drop table if exists {table}")
        stack.rows(schema.create_statement(sql, table).replace("%", "%%"))


LEAST = (
    *(f"select on teamtalk.{table}" for table in schema.REQUIRED_TABLES),
    *(f"insert ({','.join(columns)}) on teamtalk.{table}" for table, columns in INSERTS.items()),
    *(f"update ({','.join(columns)}) on teamtalk.{table}" for table, columns in UPDATES.items()),
    *(f"delete on teamtalk.{table}" for table in DELETES),
)
"""Every privilege that is examined, and no other."""


def test_a_healthy_server_gives_no_warning(stack: Stack) -> None:
    found = look(stack)
    assert found.problems == []
    assert found.only(Kind.SAME_SERVER).level is Level.INFO
    product = "MySQL" if stack.mariadb.is_mysql else "MariaDB"
    assert [finding.what.split()[0] for finding in found.of(Kind.VERSION)] == [product, product]
    for kind in (Kind.GRANTS, Kind.TABLES, Kind.INDEXES, Kind.ENGINE, Kind.CHARACTER_SET, Kind.PACKET, Kind.CLOCK, Kind.ISOLATION):
        assert found.only(kind, MASTER).level is Level.OK


def test_it_changes_nothing(stack: Stack) -> None:
    seed.users(stack, "alice")
    before = stack.snapshot()
    look(stack)
    assert stack.snapshot() == before


def test_every_privilege_that_is_missing_is_named(stack: Stack) -> None:
    with account(stack, "select, insert on teamtalk.*", "delete on teamtalk.IMTransmitFile", "update on teamtalk.IMUser"):
        finding = look(stack, **PATIENT).only(Kind.GRANTS, MASTER)
    assert finding.level is ERROR
    assert "lacks UPDATE on IMGroup, IMGroupMember, IMRecentSession, IMRelationShip" in finding.what
    assert "GRANT UPDATE ON `teamtalk`.`IMGroup` TO 'patient'@'127.0.0.1'" in finding.remedy
    assert not {"INSERT", "DELETE", "SELECT", "IMUser"} & set(finding.what.replace(",", " ").split())


def test_a_column_that_may_not_be_written_is_noticed(stack: Stack) -> None:
    grants = [grant.replace("(sign_info,push_shield_status,updated)", "(sign_info,updated)") for grant in LEAST]
    with account(stack, *grants):
        finding = look(stack, **PATIENT).only(Kind.GRANTS, MASTER)
    assert (finding.level, "UPDATE on IMUser" in finding.what) == (ERROR, True)


def test_a_table_that_may_not_be_read_is_not_called_missing(stack: Stack) -> None:
    grants = [grant for grant in LEAST if not grant.endswith("teamtalk.IMDepart")]
    with account(stack, *grants):
        found = look(stack, **PATIENT)
    assert "SELECT on IMDepart" in found.only(Kind.GRANTS, MASTER).what
    assert found.only(Kind.TABLES, MASTER).level is Level.OK


def test_an_account_with_just_what_is_examined_can_do_all_that_writes(stack: Stack) -> None:
    seed.users(stack, "alice", "bob", "carol")
    seed.group(stack, 9, [1, 2])
    keys = {**PATIENT, "teamtalk_slave_username": "patient", "teamtalk_slave_password": "zqx-secret", "StopGrace": 1}
    with account(stack, *LEAST):
        found = look(stack, **keys)
        assert found.problems == []
        with InProcessProxy(stack, keys) as proxy, proxy.client() as client:
            assert client.login("alice").result_code == 0
            assert client.send_message(1, 2, "hello").msg_id == 1
            assert client.send_group_message(1, 9, "all").msg_id == 1
            assert client.add_members(1, 9, [3]).result_code == 0
            assert client.remove_members(1, 9, [3]).result_code == 0
            sign = buddy_pb2.IMChangeSignInfoReq(user_id=1, sign_info="here")
            assert client.ask(sign, buddy_pb2.IMChangeSignInfoRsp).result_code == 0
            shield = login_pb2.IMPushShieldReq(user_id=1, shield_status=1)
            assert client.ask(shield, login_pb2.IMPushShieldRsp).result_code == 0
            create = group_pb2.IMGroupCreateReq(
                user_id=1, group_type=base.GROUP_TYPE_NORMAL, group_name="g", group_avatar="", member_id_list=[1, 2]
            )
            assert client.ask(create, group_pb2.IMGroupCreateRsp).result_code == 0
            remove = buddy_pb2.IMRemoveSessionReq(user_id=1, session_type=base.SESSION_TYPE_SINGLE, session_id=2)
            assert client.ask(remove, buddy_pb2.IMRemoveSessionRsp).result_code == 0
            offline: dict[str, Any] = {"from_user_id": 1, "to_user_id": 2, "task_id": "t"}
            client.send(file_pb2.IMFileAddOfflineReq(**offline, file_name="f", file_size=3))
            assert eventually(lambda: len(stack.rows("select 1 from IMTransmitFile")), 1) == 1
            client.send(file_pb2.IMFileDelOfflineReq(**offline))
            assert eventually(lambda: len(stack.rows("select 1 from IMTransmitFile")), 0) == 0
            assert client.ask(message_pb2.IMUnreadMsgCntReq(user_id=2), message_pb2.IMUnreadMsgCntRsp).total_cnt == 2


def test_a_missing_index_comes_with_the_statement_that_makes_it(stack: Stack) -> None:
    with altered(stack, f"alter table IMMessage_3 drop index {schema.MESSAGE_BY_TIME}", "IMMessage_3"):
        finding = look(stack).only(Kind.INDEXES, MASTER)
        assert finding.level is ERROR
        stack.rows(finding.remedy)
        assert look(stack).only(Kind.INDEXES, MASTER).level is Level.OK


def test_missing_tables_and_columns_are_named(stack: Stack) -> None:
    with altered(stack, "drop table IMDepart", "IMDepart"), altered(stack, "alter table IMGroup drop column lastChated", "IMGroup"):
        finding = look(stack).only(Kind.TABLES, MASTER)
    assert finding.level is ERROR
    assert finding.what == "table IMDepart is missing; table IMGroup lacks the column lastChated"


def test_the_table_of_offline_files_is_made_if_the_account_may(stack: Stack) -> None:
    with altered(stack, "drop table IMTransmitFile", "IMTransmitFile"):
        assert look(stack).only(Kind.OFFLINE_FILES, MASTER).level is Level.INFO
        with account(stack, "select, insert, update, delete on teamtalk.*"):
            finding = look(stack, **PATIENT).only(Kind.OFFLINE_FILES, MASTER)
        assert (finding.level, "CREATE" in finding.remedy) == (WARNING, True)
        assert stack.rows("show tables like 'IMTransmitFile'") == []


def test_another_engine_is_an_error(stack: Stack) -> None:
    with altered(stack, "alter table IMGroupMessage_5 engine=MyISAM", "IMGroupMessage_5"):
        finding = look(stack).only(Kind.ENGINE, MASTER)
        assert finding.level is ERROR
        assert "IMGroupMessage_5 (MyISAM)" in finding.what
        stack.rows(finding.remedy)
        assert look(stack).only(Kind.ENGINE, MASTER).level is Level.OK


@pytest.mark.parametrize(("charset", "level"), [("utf8mb3", WARNING), ("latin1", ERROR), ("utf8mb4", Level.OK)])
def test_character_sets_that_do_not_hold_every_text(stack: Stack, charset: str, level: Level) -> None:
    with altered(stack, f"alter table IMMessage_2 convert to character set {charset}", "IMMessage_2"):
        finding = look(stack).only(Kind.CHARACTER_SET, MASTER)
        assert finding.level is level
        if level is not Level.OK:
            assert "IMMessage_2.content" in finding.what


def test_collations_are_explained(stack: Stack) -> None:
    with (
        altered(stack, "alter table IMUser convert to character set utf8mb4 collate utf8mb4_general_ci", "IMUser"),
        altered(stack, "alter table IMMessage_2 convert to character set utf8mb4 collate utf8mb4_unicode_ci", "IMMessage_2"),
    ):
        folding, mixed = look(stack).of(Kind.COLLATION, MASTER)
    assert (folding.level, mixed.level) == (Level.INFO, WARNING)
    assert "utf8mb4_general_ci" in folding.what
    assert "IMMessage" in mixed.what
    assert "utf8mb4_bin, utf8mb4_unicode_ci" in mixed.what


def test_a_master_that_takes_no_writes(stack: Stack) -> None:
    with setting(stack, "read_only", 1), account(stack, *LEAST):
        found = look(stack, **PATIENT)
        assert found.only(Kind.READ_ONLY, MASTER).level is ERROR
        assert found.only(Kind.GRANTS, MASTER).level is Level.OK
        assert look(stack).only(Kind.READ_ONLY, MASTER).level is WARNING  # its account may write nevertheless


@pytest.mark.parametrize(
    ("name", "value", "kind", "level"),
    [
        ("max_allowed_packet", 16384, Kind.PACKET, ERROR),
        ("max_allowed_packet", 262144, Kind.PACKET, WARNING),
        ("innodb_flush_log_at_trx_commit", 2, Kind.DURABILITY, WARNING),
    ],
)
def test_settings_of_the_server(stack: Stack, name: str, value: int, kind: Kind, level: Level) -> None:
    with setting(stack, name, value):
        finding = look(stack).only(kind, MASTER)
    assert finding.level is level
    assert f"{name} is {value}" in finding.what


@pytest.mark.parametrize(("isolation", "level"), [("SERIALIZABLE", WARNING), ("READ-UNCOMMITTED", WARNING), ("READ-COMMITTED", Level.OK)])
def test_isolation(stack: Stack, isolation: str, level: Level) -> None:
    name = "transaction_isolation" if stack.mariadb.is_mysql else "tx_isolation"
    with setting(stack, name, isolation):
        finding = look(stack).only(Kind.ISOLATION, MASTER)
    assert (finding.level, isolation in finding.what) == (level, True)


def test_statements_that_the_server_ends_early(stack: Stack) -> None:
    name, value = ("max_execution_time", 2000) if stack.mariadb.is_mysql else ("max_statement_time", 2)
    with setting(stack, name, value):
        finding = look(stack).only(Kind.STATEMENT_TIME, MASTER)
    assert (finding.level, f"{name} ends statements after 2 s" in finding.what) == (WARNING, True)


def test_connections_are_counted_over_all_pools_of_a_server(stack: Stack) -> None:
    with setting(stack, "max_connections", 20):
        finding = look(stack).only(Kind.CONNECTIONS)
        assert (finding.level, "max_connections is 20" in finding.what, "may take 32" in finding.what) == (ERROR, True, True)
        assert [f.level for f in look(stack, teamtalk_master_maxconncnt=6, teamtalk_slave_maxconncnt=5).of(Kind.CONNECTIONS)] == [
            Level.OK,
            Level.INFO,
        ]


def test_the_limit_of_an_account(stack: Stack) -> None:
    with account(stack, *LEAST):
        stack.rows("alter user patient@127.0.0.1 with max_user_connections 3")
        limits = look(stack, **PATIENT).of(Kind.CONNECTIONS)
    assert [(finding.level, "max_user_connections" in finding.what) for finding in limits] == [(Level.OK, False), (ERROR, True)]


@pytest.mark.parametrize(
    ("keys", "kind", "hint"),
    [
        ({"teamtalk_master_password": "zqx-wrong"}, Kind.LOGIN, "teamtalk_master_password"),
        ({"teamtalk_master_dbname": "nowhere"}, Kind.DATABASE, "teamtalk_master_dbname"),
        ({"teamtalk_master_port": 1}, Kind.UNREACHABLE, "nothing listens there"),
        ({"teamtalk_master_host": "no-such-host.invalid"}, Kind.HOST_UNKNOWN, "/etc/hosts"),
        ({"teamtalk_master_ssl_ca": "/etc/ssl/certs/ca-certificates.crt"}, Kind.TLS, "teamtalk_master_ssl_ca"),
    ],
)
def test_why_a_server_cannot_be_used(stack: Stack, keys: dict[str, object], kind: Kind, hint: str) -> None:
    found = look(stack, **keys)
    (finding,) = [finding for finding in found.findings if finding.subject == MASTER]
    assert (finding.level, finding.kind) == (ERROR, kind)
    assert hint in finding.remedy
    assert "zqx" not in finding.what + finding.remedy
    assert found.only(Kind.GRANTS, SLAVE).level is Level.OK  # the other pool is examined nevertheless


def test_a_server_that_says_nothing_costs_its_connect_timeout(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = look(stack, teamtalk_master_port=silent.getsockname()[1], DBConnectTimeout=0.5)
        took = time.monotonic() - began
    assert [finding.kind for finding in found.findings if finding.subject == MASTER] == [Kind.UNREACHABLE]
    assert took < 30  # it is some seconds on a busy machine; without the limit it would be for ever


def test_the_same_server_with_another_database(stack: Stack) -> None:
    stack.rows("create database elsewhere")
    try:
        finding = look(stack, teamtalk_slave_dbname="elsewhere").only(Kind.SAME_SERVER)
    finally:
        stack.rows("drop database elsewhere")
    assert (finding.level, "elsewhere" in finding.what) == (ERROR, True)


@pytest.fixture(scope="module")
def other() -> Iterator[PrivateMariaDB]:
    """A second server, which can become a replica."""
    with PrivateMariaDB(options=("--server-id=2", "--log-bin=bin")) as server:
        yield server


def run(server: PrivateMariaDB, *statements: str) -> None:
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_slave_that_follows_nobody(stack: Stack, other: PrivateMariaDB) -> None:
    finding = look(stack, teamtalk_slave_port=other.port).only(Kind.REPLICATION, SLAVE)
    assert (finding.level, "replicates from nowhere" in finding.what) == (WARNING, True)


def test_a_privilege_that_is_missing_to_see_the_replication(stack: Stack, other: PrivateMariaDB) -> None:
    privilege = "REPLICATION CLIENT" if stack.mariadb.is_mysql else "SLAVE MONITOR"
    run(other, "create user patient@127.0.0.1 identified by 'p'", "grant select on teamtalk.* to patient@127.0.0.1")
    keys = {"teamtalk_slave_port": other.port, "teamtalk_slave_username": "patient", "teamtalk_slave_password": "p"}
    try:
        finding = look(stack, **keys).only(Kind.REPLICATION, SLAVE)
        assert (finding.level, finding.remedy) == (WARNING, f"GRANT {privilege} ON *.* TO 'patient'@'127.0.0.1'")
        run(other, finding.remedy)
        assert "replicates from nowhere" in look(stack, **keys).only(Kind.REPLICATION, SLAVE).what
    finally:
        run(other, "drop user patient@127.0.0.1")


def test_replication_that_works_and_that_has_stopped(other: PrivateMariaDB) -> None:
    mysql = other.is_mysql
    with Stack(mysql_options=("--server-id=1", "--log-bin=bin", "--binlog-format=ROW", "--sync-binlog=1")) as source:
        follow = "change replication source to source_" if mysql else "change master to master_"
        word = "source_" if mysql else "master_"
        account = f"{word}port={source.mariadb.port},{word}user='teamtalk',{word}password='teamtalk'"
        begin = "source_auto_position=0,get_source_public_key=1" if mysql else "master_use_gtid=slave_pos"
        if mysql:
            (status,) = source.rows("show binary log status")
            begin += f",source_log_file='{status['File']}',source_log_pos={status['Position']}"
        else:
            (position,) = source.rows("select @@gtid_binlog_pos as position")
            run(other, f"set global gtid_slave_pos='{position['position']}'")
        run(other, f"{follow}host='127.0.0.1',{account},{begin}", "start replica")
        keys = {"teamtalk_slave_port": other.port}
        try:
            assert eventually(lambda: look(source, **keys).only(Kind.REPLICATION, SLAVE).level, Level.OK, 30) is Level.OK
            found = look(source, **keys)
            assert f"it follows 127.0.0.1:{source.mariadb.port}, 0 s behind" in found.only(Kind.REPLICATION, SLAVE).what
            assert found.only(Kind.READ_ONLY, SLAVE).level is Level.INFO
            described, limit = found.of(Kind.TOPOLOGY, MASTER)
            assert "primary with 1 replica, asynchronous" in described.what
            assert "are lost" in limit.what
            assert found.problems == []
            run(other, "drop table IMDepart")
            source.rows("insert into IMDepart (departName,priority,parentId,status,created,updated) values ('zqx-people',0,0,0,0,0)")
            assert eventually(lambda: look(source, **keys).only(Kind.REPLICATION, SLAVE).level, WARNING, 30) is WARNING
            finding = look(source, **keys).only(Kind.REPLICATION, SLAVE)
            assert "applying stopped, error 1" in finding.what  # 1146, or MySQL's 1051 and such
            assert "zqx" not in finding.what
        finally:
            run(other, "stop replica", "reset replica all")


def test_row_ids_that_run_out_are_told_early(stack: Stack) -> None:
    assert look(stack).only(Kind.ROW_IDS, MASTER).level is Level.OK
    limit = 2**31 - 1
    with altered(stack, f"alter table IMMessage_3 auto_increment={limit // 2 + 10}", "IMMessage_3"):
        (warning,) = look(stack).of(Kind.ROW_IDS, MASTER)
        assert warning.level is WARNING
        assert "IMMessage_3 50% used" in warning.what
        assert "ALTER TABLE IMMessage_3 MODIFY id bigint unsigned" in warning.remedy
        stack.rows(f"alter table IMMessage_3 auto_increment={limit}")
        assert look(stack).only(Kind.ROW_IDS, MASTER).level is ERROR
        stack.rows(warning.remedy.partition(" (")[0])
        assert look(stack).only(Kind.ROW_IDS, MASTER).level is Level.OK
    with altered(stack, "alter table IMGroup auto_increment=2000000000", "IMGroup"):
        assert "ALTER TABLE IMGroup MODIFY id int unsigned" in look(stack).only(Kind.ROW_IDS, MASTER).remedy
