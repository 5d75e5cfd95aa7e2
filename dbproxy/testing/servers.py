"""Real servers on private ports and in private directories: :class:`PrivateMariaDB` and :class:`PrivateRedis`.

They listen on 127.0.0.1 and a unix socket only, run as the current user, read no configuration of the system, and never touch a
system service or a default port. They end with the process that started them. ``choose_servers`` makes them run other programs than the
installed ones, as the options ``--mysqld`` and ``--redis-server`` of pytest do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
import redis
from pymysql.constants import CLIENT
from redis.backoff import NoBackoff
from redis.retry import Retry

import dbproxy
from dbproxy.errors import StartupError
from dbproxy.stores.redis.commands import CacheCommand, pack
from dbproxy.testing.private_server import MYSQLD, REDIS_SERVER, PrivateServer, find_program

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor
    from typing_extensions import Self

SCHEMA = Path(dbproxy.__file__).with_name("schema.sql")
"""The tables of a stock TeamTalk installation; in a checkout a link to conf/schema.sql, in an installed package a copy of it."""

_AS_ROOT = ("--user=root",) if os.geteuid() == 0 else ()
"""The server refuses to run as root unless it is told to."""

_MYSQL_ONLY = ("--mysqlx=OFF", "--secure-file-priv=NULL")
"""The X protocol would listen on all addresses and on a fixed port, and the folder for files is the system's by default."""


class PrivateMariaDB(PrivateServer):
    """A MariaDB (or MySQL) server with the database ``teamtalk`` and the tables of a stock installation.

    Durability is the default one (a commit is on disk), buffers are small. The account ``teamtalk``/``teamtalk`` may do everything.
    ``schema`` is the SQL file to load into a new database, None for an empty one; ``options`` are further server options
    (``"--max-connections=20"``), which win over ours.
    """

    kind = "mariadb"
    user = "teamtalk"
    password = "teamtalk"
    database = "teamtalk"

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        port: int = 0,
        keep: bool | None = None,
        schema: Path | str | None = SCHEMA,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, port=port, keep=keep)
        self._schema = None if schema is None else Path(schema)
        self._options = tuple(options)

    def start(self) -> Self:
        """Start the server, create the account and the database if they are missing, and load the schema into a new database."""
        was_running = self.running
        super().start()
        if not was_running:
            self._prepare()
        return self

    def connect(self, database: str | None = "teamtalk") -> Connection[DictCursor]:
        """Return a new connection for assertions: autocommit, rows as dicts, 30 s timeouts. The caller closes it."""
        return self._connected(database, ssl_disabled=True)

    def _connected(self, database: str | None, **options: Any) -> Connection[DictCursor]:  # noqa: ANN401 - those of PyMySQL
        host, port = self.address
        return pymysql.connect(
            host=host,
            port=port,
            user=self.user,
            password=self.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            connect_timeout=10,
            read_timeout=30,
            write_timeout=30,
            **options,
        )

    def _install(self, directory: Path) -> None:
        data = directory / "data"
        if (data / "mysql").exists():
            return
        shutil.rmtree(data, ignore_errors=True)  # left by an interrupted installation
        unfinished = directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        server = mysqld()
        if self.is_mysql:
            command = [server, "--no-defaults", "--initialize-insecure", f"--datadir={unfinished}", *_AS_ROOT]
        else:
            command = [
                _installer_of(server),
                "--no-defaults",
                f"--datadir={unfinished}",
                f"--tmpdir={directory}",  # in /tmp files of servers with the same pid in other containers get the same names
                *_AS_ROOT,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-log-file-size=16M",
                "--innodb-buffer-pool-size=32M",
            ]
        done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise StartupError(f"{' '.join(map(str, command))} failed with status {done.returncode}:\n{done.stdout}{done.stderr}")
        unfinished.rename(data)  # only a complete installation has the final name

    def _command(self, directory: Path) -> list[str]:
        return [
            mysqld(),
            "--no-defaults",
            *_AS_ROOT,
            f"--datadir={directory / 'data'}",
            f"--tmpdir={directory}",
            f"--socket={self.unix_socket}",
            f"--pid-file={directory / 'mariadb.pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-dump-at-shutdown=OFF",
            "--innodb-buffer-pool-load-at-startup=OFF",
            "--max-connections=400",
            *(_MYSQL_ONLY if self.is_mysql else ()),
            *self._options,
        ]

    @property
    def is_mysql(self) -> bool:
        """Whether the program is MySQL and not MariaDB; it need not run for that."""
        return is_mysql(mysqld())

    def _root(self, init_command: str | None = None) -> Connection[DictCursor]:
        return pymysql.connect(
            unix_socket=str(self.unix_socket),
            user="root",
            charset="utf8mb4",
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            connect_timeout=5,
            client_flag=CLIENT.MULTI_STATEMENTS,
            init_command=init_command,
        )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaks its socket when it cannot connect
                probe.connect(str(self.unix_socket))
        except OSError:
            return False
        try:
            self._root().close()
        except pymysql.MySQLError:
            return False
        return True

    def _prepare(self) -> None:
        with contextlib.closing(self._root()) as connection, connection.cursor() as cursor:
            for host in ("127.0.0.1", "localhost"):
                cursor.execute(f"CREATE USER IF NOT EXISTS '{self.user}'@'{host}' IDENTIFIED BY '{self.password}'")
                cursor.execute(f"GRANT ALL PRIVILEGES ON *.* TO '{self.user}'@'{host}' WITH GRANT OPTION")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{self.database}` CHARACTER SET utf8mb4")
            cursor.execute(f"USE `{self.database}`")
            cursor.execute("SHOW TABLES")
            if cursor.fetchall() or self._schema is None:
                return
            try:
                cursor.execute(self._schema.read_text(encoding="utf-8"))
                while cursor.nextset():
                    pass
            except (OSError, pymysql.MySQLError) as error:
                raise StartupError(f"the schema {self._schema} cannot be loaded: {error}") from error


def mysqld() -> str:
    """Return the program that the private servers run; StartupError when there is none."""
    return find_program(("mariadbd", "mysqld"), "mariadb-server", MYSQLD)


@functools.cache
def is_mysql(server: str) -> bool:
    """Whether this server program is MySQL and not MariaDB."""
    command = [server, "--no-defaults", "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    return "-MariaDB" not in version  # with the hyphen, because the path of the program, which comes first, may say anything


def _installer_of(server: str) -> str:
    """Return the program that creates a data directory for a MariaDB server: the one of the same installation, if it is found."""
    names = ("mariadb-install-db", "mysql_install_db")
    directory = Path(server).parent
    for folder in (directory, directory.parent / "bin", directory.parent / "scripts"):
        for name in names:
            found = shutil.which(folder / name)
            if found:
                return found
    return find_program(names, "mariadb-server")


class PrivateRedis(PrivateServer):
    """A Redis server, by default without any persistence: a restart empties it, as on an installation that uses it as a cache.

    With ``persistent`` every write is in an append-only file on disk before it is answered. ``password`` sets requirepass; ``options``
    are further server options (``("--maxmemory", "10mb")``).
    """

    kind = "redis"

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        port: int = 0,
        keep: bool | None = None,
        persistent: bool = False,
        password: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, port=port, keep=keep)
        self.persistent = persistent
        self.password = password
        self._options = tuple(options)

    def connect(self, db: int = 0, *, decode_responses: bool = True, timeout: float = 10) -> redis.Redis:
        """Return a client for assertions on logical database ``db``: no retries, ``timeout`` in seconds. The caller closes it."""
        return self._client(db, decode_responses=decode_responses, timeout=timeout)

    def _client(self, db: int, *, decode_responses: bool, timeout: float, username: str | None = None) -> redis.Redis:
        host, port = self.address
        return redis.Redis(
            host=host,
            port=port,
            db=db,
            username=username,
            password=self.password,
            protocol=2,
            decode_responses=decode_responses,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )

    def _command(self, directory: Path) -> list[str]:
        durable = ("--appendonly", "yes", "--appendfsync", "always") if self.persistent else ("--appendonly", "no")
        return [
            find_program(("redis-server", "valkey-server"), "redis-server", REDIS_SERVER),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.unix_socket), "--unixsocketperm", "700"),
            *("--dir", str(directory), "--daemonize", "no", "--databases", "16", "--save", "", *durable),
            *(("--requirepass", self.password) if self.password else ()),
            *self._options,
        ]

    def _answers(self) -> bool:
        # over the private socket, because another server may have taken the port
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(str(self.unix_socket))
                # with the password, because without it nothing is said of data that is still being loaded
                login: list[CacheCommand] = [("AUTH", self.password)] if self.password else []
                probe.sendall(pack([*login, ("PING",)]))
                with probe.makefile("rb") as answers:
                    return [answers.readline(64) for _ in range(2 if login else 1)][-1] == b"+PONG\r\n"
        except OSError:
            return False
