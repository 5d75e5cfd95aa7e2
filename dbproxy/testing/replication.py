"""Replication between private servers, of MariaDB and of MySQL: :class:`ReplicatedServer`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbproxy.errors import StartupError
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor

CATCH_UP_TIMEOUT = 30.0
"""Seconds for which it is waited until a replica has applied something."""

CONNECT_TIMEOUT = 5.0
"""Seconds for which it is waited until a replica is connected; a source that is down makes no error."""

APP_USER, APP_PASSWORD = "app", "app"
"""The account of the proxies: no administrator, so ``read_only`` is for it, too."""

_APP_PRIVILEGES = "SELECT,INSERT,UPDATE,DELETE,CREATE"


class ReplicatedServer(PrivateMariaDB):
    """A server with a binary log that can be the primary, or follow another one; ``number`` (from 1) is its server_id.

    What its own start prepares (accounts, the tables of a new database) is in no binary log, so that all servers of a set begin alike and
    with nothing to replicate. ``gtid`` False: MySQL without GTIDs (MariaDB always has them), and replication by file and position.
    ``semi_sync``: a commit is acknowledged when a replica has it (AFTER_SYNC), or after ``semi_sync_timeout`` seconds without.
    ``monitoring``: whether the account of the proxies may ask for the state of the replication.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        number: int,
        keep: bool | None = None,
        schema: Path | str | None = SCHEMA,
        options: Sequence[str] = (),
        gtid: bool = True,
        semi_sync: bool = False,
        semi_sync_timeout: float = 10,
        monitoring: bool = True,
    ) -> None:
        super().__init__(directory, keep=keep, schema=schema, options=options)
        self.number = number
        self.read_only = False
        """Whether it starts with ``read_only``, which is for all accounts but administrators."""
        self._gtid = gtid
        self._semi_sync = semi_sync
        self._semi_sync_timeout = semi_sync_timeout
        self._monitoring = monitoring

    def _command(self, directory: Path) -> list[str]:
        options = [f"--server-id={self.number}", "--log-bin=bin", "--binlog-format=ROW", f"--read-only={int(self.read_only)}"]
        milliseconds = round(1000 * self._semi_sync_timeout)
        if self.is_mysql:
            options += ["--relay-log=relay", "--log-replica-updates=ON"]
            options += ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"] if self._gtid else []
            if self._semi_sync:
                options += [
                    *("--plugin-load-add=semisync_source.so", "--plugin-load-add=semisync_replica.so"),
                    *(f"--rpl-semi-sync-source-enabled={int(not self.read_only)}", "--rpl-semi-sync-replica-enabled=ON"),
                    f"--rpl-semi-sync-source-timeout={milliseconds}",
                ]
        else:
            options += ["--relay-log=relay", "--log-slave-updates=ON", "--slave-net-timeout=5"]
            if self._semi_sync:
                options += [
                    *(f"--rpl-semi-sync-master-enabled={int(not self.read_only)}", "--rpl-semi-sync-slave-enabled=ON"),
                    *("--rpl-semi-sync-master-wait-point=AFTER_SYNC", f"--rpl-semi-sync-master-timeout={milliseconds}"),
                ]
        command = super()._command(directory)
        return [*command[: len(command) - len(self._options)], *options, *self._options]

    def _root(self, init_command: str | None = "SET SESSION sql_log_bin=0") -> Connection[DictCursor]:
        return super()._root(init_command)

    def _prepare(self) -> None:
        super()._prepare()
        monitor = "REPLICATION CLIENT" if self.is_mysql else "SLAVE MONITOR"
        for host in ("127.0.0.1", "localhost"):
            account = f"'{APP_USER}'@'{host}'"
            self.run_as_root(f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{APP_PASSWORD}'")
            self.run_as_root(f"GRANT {_APP_PRIVILEGES} ON `{self.database}`.* TO {account}")
            if self._monitoring:
                self.run_as_root(f"GRANT {monitor} ON *.* TO {account}")

    def run_as_root(self, *statements: str) -> list[dict[str, Any]]:
        """Execute statements that are not replicated, and return the rows of the last one."""
        rows: list[dict[str, Any]] = []
        with contextlib.closing(self._root()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows

    # replication

    def follow(self, source: ReplicatedServer) -> None:
        """Become a replica of ``source``, and be read-only. The data of both must be the same, or what is missing be in the binary log of
        ``source``; without GTIDs it follows from this moment on.
        """
        self.set_read_only(True)
        self.stop_replication()
        host, port = source.address
        word = "source" if self.is_mysql else "master"
        where = (
            f"{word}_host='{host}',{word}_port={port},{word}_user='{self.user}',{word}_password='{self.password}',{word}_connect_retry=1"
        )
        if not self.is_mysql:
            how = "master_use_gtid=slave_pos"
            self.run_as_root("set global gtid_slave_pos=@@global.gtid_current_pos")  # what a primary executed itself is not in it
        elif self._gtid:
            how = "source_auto_position=1,get_source_public_key=1"
        else:
            (at,) = source.run_as_root("show binary log status")
            how = f"get_source_public_key=1,source_log_file='{at['File']}',source_log_pos={at['Position']}"
        self.run_as_root(f"change {self._change} {where},{how}")
        self.start_replication()
        source._wait_without_replicas(True)

    def lead(self) -> None:
        """Apply what has been received, follow nobody any more, and take writes."""
        status = self.replication_status()
        if status is not None:
            self.run_as_root("stop replica io_thread")
            self._apply_received()
            self.run_as_root("stop replica", "reset replica all")
        self._wait_without_replicas(False)
        self.set_read_only(False)

    def _wait_without_replicas(self, value: bool) -> None:
        """Say whether commits wait for an acknowledgement also while no replica is connected."""
        if self._semi_sync:
            name = "rpl_semi_sync_source_wait_no_replica" if self.is_mysql else "rpl_semi_sync_master_wait_no_slave"
            self.run_as_root(f"set global {name}={int(value)}")

    def set_read_only(self, value: bool) -> None:
        """Set ``read_only``, now and for its next start. A read-only server waits for nobody to acknowledge what it replicates."""
        self.read_only = value
        self.run_as_root(f"set global read_only={int(value)}")
        if self._semi_sync:
            source = "source" if self.is_mysql else "master"
            self.run_as_root(f"set global rpl_semi_sync_{source}_enabled={int(not value)}")

    def stop_replication(self) -> None:
        """Stop receiving and applying; nothing happens when it does not replicate."""
        self.run_as_root("stop replica")

    def start_replication(self) -> None:
        """Go on after ``stop_replication``; on return it is connected to its source, if that runs."""
        self.run_as_root("start replica")
        self._await_connected()

    def _await_connected(self) -> None:
        """Wait until the source knows this replica: a commit before that would wait for its acknowledgement until the time limit."""
        name = "Rpl_semi_sync_replica_status" if self.is_mysql else "Rpl_semi_sync_slave_status"
        running = "Replica_IO_Running" if self.is_mysql else "Slave_IO_Running"
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while time.monotonic() < deadline:
            connected = (self.replication_status() or {}).get(running) == "Yes"
            if connected and (not self._semi_sync or self.run_as_root(f"show status like '{name}'")[0]["Value"] == "ON"):
                return
            time.sleep(0.01)

    def delay(self, seconds: int) -> None:
        """Apply everything so many seconds after it was executed at the primary, until another delay is set; 0: at once."""
        word = "source" if self.is_mysql else "master"
        self.run_as_root("stop replica", f"change {self._change} {word}_delay={seconds}")
        self.start_replication()

    def copy_position(self, source: ReplicatedServer) -> None:
        """Forget all GTIDs, and have ``follow`` begin with what ``source`` executes from now on: for a server whose data is the same,
        however it came there.
        """
        self.stop_replication()
        if not self.is_mysql:
            (row,) = source.run_as_root("select @@gtid_current_pos as position")
            self.run_as_root("reset replica all", "reset master", f"set global gtid_slave_pos='{row['position']}'")
        elif self._gtid:
            (row,) = source.run_as_root("select @@global.gtid_executed as position")
            self.run_as_root(
                "reset replica all", "reset binary logs and gtids", f"set global gtid_purged='{str(row['position']).replace(chr(10), '')}'"
            )
        else:
            self.run_as_root("reset replica all", "reset binary logs and gtids")

    def replication_status(self) -> dict[str, Any] | None:
        """Return the row of SHOW REPLICA STATUS with the server's own names; None when it is no replica."""
        rows = self.run_as_root("show replica status")
        return rows[0] if rows else None

    def wait_for(self, source: ReplicatedServer, timeout: float = CATCH_UP_TIMEOUT) -> None:
        """Wait until everything is applied that ``source`` has executed before the call; TimeoutError if it is not in time."""
        if not self.is_mysql:
            (row,) = source.run_as_root("select @@gtid_current_pos as position")
        elif self._gtid:
            (row,) = source.run_as_root("select @@global.gtid_executed as position")
        else:
            (row,) = source.run_as_root("show binary log status")
            self._check(f"source_pos_wait('{row['File']}',{row['Position']},{timeout:g})>=0", timeout)
            return
        self._wait_for_position(str(row["position"]), timeout)

    def _wait_for_position(self, position: str, timeout: float) -> None:
        wait = "wait_for_executed_gtid_set" if self.is_mysql else "master_gtid_wait"
        self._check(f"{wait}('{position.replace(chr(10), '')}',{timeout:g})=0", timeout)

    def _check(self, condition: str, timeout: float) -> None:
        (row,) = self.run_as_root(f"select {condition} as reached")
        if not row["reached"]:
            raise TimeoutError(f"{self.name} with server_id {self.number} has not caught up in {timeout:g} s: {self.replication_status()}")

    def _apply_received(self) -> None:
        """Wait until what has been received is applied. Applying goes on if it was stopped or delayed."""
        word = "source" if self.is_mysql else "master"
        self.run_as_root("stop replica", f"change {self._change} {word}_delay=0", "start replica sql_thread")
        status = self.replication_status() or {}
        if not self.is_mysql or self._gtid:
            received = status["Retrieved_Gtid_Set"] if self.is_mysql else status["Gtid_IO_Pos"]
            if received:
                self._wait_for_position(str(received), CATCH_UP_TIMEOUT)
            return
        deadline = time.monotonic() + CATCH_UP_TIMEOUT
        while "has read all relay log" not in str((self.replication_status() or {})["Replica_SQL_Running_State"]):
            if time.monotonic() > deadline:
                raise StartupError(f"{self.name} with server_id {self.number} does not apply what it has received")
            time.sleep(0.01)

    @property
    def _change(self) -> str:
        return "replication source to" if self.is_mysql else "master to"
