"""What the database alone does on this machine, measured with mariadb-slap (or mysqlslap): 8 clients written in C, without a proxy.

It uses a database of its own, which is removed afterwards. A transaction does what storing one message needs: insert it, update both
sessions, commit. A lookup selects three users by id.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dbproxy.config import DBInstance

CLIENTS = 8
ROWS = 4000
"""Users, and sessions of which each transaction touches two."""

TIMEOUT = 120

SCHEMA = (
    "create table IMMessage (id int not null auto_increment primary key, relateId int unsigned not null, fromId int unsigned not null, "
    "toId int unsigned not null, msgId int unsigned not null, content varchar(4096), type tinyint unsigned not null, status tinyint "
    "unsigned not null, updated int unsigned not null, created int unsigned not null, key idx_relateId_status_created "
    "(relateId,status,created), key idx_relateId_status_msgId_created (relateId,status,msgId,created), key idx_fromId_toId_created "
    "(fromId,toId,status)) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin",
    "create table IMRecentSession (id int not null auto_increment primary key, userId int unsigned not null, peerId int unsigned not null,"
    " type tinyint unsigned, status tinyint unsigned, created int unsigned not null, updated int unsigned not null, key "
    "idx_userId_peerId_status_updated (userId,peerId,status,updated), key idx_userId_peerId_type (userId,peerId,type)) engine=InnoDB",
    "create table IMUser (id int unsigned not null auto_increment primary key, sex tinyint unsigned not null, name varchar(32) not null, "
    "nick varchar(32) not null, avatar varchar(255), departId int unsigned not null, email varchar(64) not null, phone varchar(11) not "
    "null, domain varchar(32) not null, status tinyint unsigned, sign_info varchar(128) not null) engine=InnoDB default charset=utf8mb4",
)
"""The stock tables that are needed here, with their indexes."""


@dataclass(frozen=True)
class Alone:
    """Transactions and lookups per second of the database alone; None and a reason where they could not be measured."""

    transactions: float | None
    selects: float | None
    reason: str = ""


def find_program() -> str | None:
    """Return the path of the load program; None when it is not installed."""
    return shutil.which("mariadb-slap") or shutil.which("mysqlslap")


def measure_alone(instance: DBInstance, seconds: float) -> Alone:
    """Measure the server of ``instance``, about ``seconds`` for each of the two figures. Does not raise."""
    program = find_program()
    if program is None:
        return Alone(None, None, "neither mariadb-slap nor mysqlslap is installed")
    if instance.tls is not None:
        return Alone(None, None, "the server is reached with TLS")
    slap = _Slap(program, instance)
    try:
        return Alone(slap.per_second(_transactions(), 4, seconds), slap.per_second(_selects(), 1, seconds))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = error.stderr if isinstance(error, subprocess.CalledProcessError) and error.stderr else str(error)
        return Alone(None, None, reason.strip().splitlines()[-1] if reason.strip() else type(error).__name__)


def _user_id(step: int) -> str:
    """Return an SQL expression for an id that differs between clients and statements, so that they do not wait for each other's rows.
    The server evaluates it once per statement, because connection_id() is constant.
    """
    return f"(1+(connection_id()*997+{step * 31})%{ROWS})"


def _transactions() -> list[str]:
    statements = []
    for step in range(50):
        one, other = _user_id(step), _user_id(step + 1000)
        statements += [
            "begin",
            "insert into IMMessage (relateId,fromId,toId,msgId,content,type,status,created,updated) "
            f"values ({one},{one},{other},1,repeat('x',64),1,0,unix_timestamp(),unix_timestamp())",
            f"update IMRecentSession set status=0,updated=unix_timestamp() where id in ({one},{other})",
            "commit",
        ]
    return statements


def _selects() -> list[str]:
    columns = "id,sex,nick,avatar,departId,email,name,phone,domain,status,sign_info"
    return [f"select {columns} from IMUser where id in ({_user_id(step)},{_user_id(step + 7)},{_user_id(step + 13)})" for step in range(50)]


def _preparation() -> list[str]:
    digits = "(" + " union all ".join(f"select {digit} as d" for digit in range(10)) + ")"
    numbers = f"(select 1+a.d+10*b.d+100*c.d+1000*e.d as n from {digits} a join {digits} b join {digits} c join {digits} e) s"
    return [
        *SCHEMA,
        f"insert into IMRecentSession select n,n,n+1,1,0,1700000000,1700000000 from {numbers} where n<={ROWS} order by n",
        "insert into IMUser select n,1,concat('user',n),concat('user',n),'',1,concat('user',n,'@example.com'),'13800000000','',0,'' "
        f"from {numbers} where n<={ROWS} order by n",
    ]


class _Slap:
    """The load program with one server."""

    def __init__(self, program: str, instance: DBInstance) -> None:
        self._program = program
        self._instance = instance
        version = subprocess.run([program, "--no-defaults", "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
        self._no_tls = "--skip-ssl" if "MariaDB" in version else "--ssl-mode=DISABLED"
        self._schema = f"dbproxy_bench_{os.getpid()}"

    def per_second(self, statements: list[str], per_unit: int, seconds: float) -> float:
        """Return the units (of ``per_unit`` statements) per second, measured for about ``seconds``."""
        rounds = CLIENTS
        elapsed = self._run(statements, rounds * len(statements))
        rate = rounds * len(statements) / per_unit / max(elapsed, 1e-3)
        rounds = max(CLIENTS, round(rate * seconds * per_unit / len(statements) / CLIENTS) * CLIENTS)
        return rounds * len(statements) / per_unit / max(self._run(statements, rounds * len(statements)), 1e-3)

    def _run(self, statements: list[str], count: int) -> float:
        """Let the clients execute ``count`` statements together, each in the order of the list; return the seconds that it took."""
        with tempfile.TemporaryDirectory(prefix="dbproxy-slap-") as name:
            directory = Path(name)
            (directory / "create.sql").write_text(";".join(_preparation()), encoding="utf-8")
            (directory / "query.sql").write_text(";".join(statements), encoding="utf-8")
            done = subprocess.run(
                [
                    *(self._program, "--no-defaults", self._no_tls, "--silent", "--csv", "--delimiter=;"),
                    *(f"--host={self._instance.host}", f"--port={self._instance.port}", "--protocol=tcp"),
                    f"--user={self._instance.username}",
                    *(f"--create-schema={self._schema}", f"--create={directory / 'create.sql'}", f"--query={directory / 'query.sql'}"),
                    *(f"--concurrency={CLIENTS}", "--iterations=1", f"--number-of-queries={count}"),
                ],
                env={**os.environ, "MYSQL_PWD": self._instance.password},
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT,
            )
        figures = [line.split(",") for line in done.stdout.splitlines() if line.count(",") >= 3]
        if not figures:
            raise ValueError(f"unexpected output: {done.stdout.strip() or done.stderr.strip()}")
        return float(figures[-1][2])
