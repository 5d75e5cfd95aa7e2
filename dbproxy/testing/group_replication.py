"""A replication group of MySQL with several primaries, and a Redis: :class:`GroupStack`."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from dbproxy.errors import StartupError
from dbproxy.testing.process import listening_port
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB, is_mysql, mysqld
from dbproxy.testing.several_writers import SeveralWriters
from dbproxy.testing.waiting import eventually

_RECOVERY = "group_replication_recovery"

_IN_GROUP = ("ONLINE", "RECOVERING", "UNREACHABLE")
"""States of a member that takes part, or is about to."""


def missing_for_group_replication() -> str:
    """Return why no replication group can be run here, as the reason of a skipped test; empty: it can."""
    return "" if is_mysql(mysqld()) else "the server that was chosen is MariaDB, which has no group replication: choose MySQL with --mysqld"


class GroupMember(PrivateMariaDB):
    """A MySQL server that is a member of a replication group; its name is ``member N`` with ``number`` N. All communication is on
    127.0.0.1, at a port that stays the same over restarts.
    """

    start_timeout = 90

    def __init__(
        self,
        directory: Path,
        number: int,
        group: str,
        peers: list[str],
        *,
        schema: Path | str = SCHEMA,
        keep: bool | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """``group``: the UUID of the group; ``peers``: the addresses of all members, which share the list and add themselves."""
        super().__init__(directory, keep=keep, schema=schema, options=options)
        self.number = number
        self.name = f"member {number}"
        self._group = group
        self._peers = peers
        self._has_joined = False
        self._group_address = f"127.0.0.1:{listening_port()}"
        peers.append(self._group_address)

    def bootstrap(self) -> None:
        """Begin the group with this member, which is running; it gets account and tables of a stock installation."""
        self._join("SET GLOBAL group_replication_bootstrap_group=ON", *_START, "SET GLOBAL group_replication_bootstrap_group=OFF")
        if not eventually(lambda: self.state, "ONLINE", timeout=60):
            raise StartupError(f"{self.name} does not get ONLINE: {self.log(last=25)}")
        super()._prepare()

    def join(self) -> None:
        """Let the member, which is running, take part in the group and get what it lacks."""
        self._join(*_START)

    def leave(self) -> None:
        """Let the member, which is running, leave the group; it takes no writes then."""
        self.ask("STOP GROUP_REPLICATION")

    @property
    def state(self) -> str:
        """ONLINE, RECOVERING, OFFLINE, ERROR …; empty when it does not answer."""
        try:
            rows = self.ask("SELECT member_state AS state FROM performance_schema.replication_group_members WHERE member_id=@@server_uuid")
        except (OSError, pymysql.MySQLError):
            return ""
        return str(rows[0]["state"]) if rows else "OFFLINE"

    @property
    def online(self) -> int:
        """How many members of the group this one sees ONLINE; 0 when it does not answer."""
        try:
            (row,) = self.ask("SELECT count(*) AS n FROM performance_schema.replication_group_members WHERE member_state='ONLINE'")
        except (OSError, pymysql.MySQLError):
            return 0
        return int(row["n"])

    def stop(self, timeout: float = 90) -> int:
        """See PrivateServer; a member that leaves the group waits for its own parts, so it takes longer than other servers."""
        return super().stop(timeout)

    def ask(self, *statements: str) -> list[dict[str, Any]]:
        """Execute statements as root, and return the rows of the last one."""
        with contextlib.closing(self._root()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _join(self, *statements: str) -> None:
        if not self._has_joined:  # what the installation has written is no part of the group
            account = (f"CREATE USER {_USER} IDENTIFIED BY 'recovery'", f"GRANT ALL ON *.* TO {_USER}")
            self.ask("SET SESSION sql_log_bin=0", *account, "RESET BINARY LOGS AND GTIDS")
            self._has_joined = True
        self.ask(*statements)

    def _command(self, directory: Path) -> list[str]:
        return [
            *super()._command(directory),
            "--performance-schema=ON",
            f"--server-id={self.number + 1}",
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--report-host=127.0.0.1",
            "--plugin-load-add=group_replication.so",
            f"--loose-group-replication-group-name={self._group}",
            f"--loose-group-replication-local-address={self._group_address}",
            f"--loose-group-replication-group-seeds={','.join(self._peers)}",
            "--loose-group-replication-ip-allowlist=127.0.0.1",
            "--loose-group-replication-start-on-boot=OFF",
            "--loose-group-replication-single-primary-mode=OFF",
            "--loose-group-replication-enforce-update-everywhere-checks=ON",
            "--loose-group-replication-recovery-get-public-key=ON",
            "--loose-group-replication-member-expel-timeout=0",
            "--loose-group-replication-components-stop-timeout=10",
            "--loose-group-replication-unreachable-majority-timeout=5",
            "--loose-group-replication-exit-state-action=READ_ONLY",
        ]

    def _prepare(self) -> None:
        """The group has the account and the tables."""


_USER = "'recovery'@'127.0.0.1'"
_START = (
    f"CHANGE REPLICATION SOURCE TO SOURCE_USER='recovery',SOURCE_PASSWORD='recovery' FOR CHANNEL '{_RECOVERY}'",
    "START GROUP_REPLICATION",
)


class GroupStack(SeveralWriters[GroupMember]):
    """``nodes`` MySQL servers (8.4 or newer) in a replication group, all of which take writes, and one Redis.

    ``mariadb`` is the first member, and configurations lead to it unless they are made with :meth:`on`. A group goes on while more than
    half of its members are there. ``missing_for_group_replication`` says whether it can be run here. For the other arguments see
    :class:`Stack`.
    """

    def kill(self, node: int) -> None:
        """Kill a member, as a crash would, and wait until the others go on without it; ``repair`` starts it again."""
        super().kill(node)
        left = [other for other in self.nodes if other.running]
        self._await(lambda: all(other.online == len(left) for other in left), "the others have noticed")

    def wait_until_equal(self) -> None:
        """Wait until each member has applied what all have committed before."""
        running = [member for member in self.nodes if member.running]
        executed = [str(member.ask("SELECT @@global.gtid_executed AS position")[0]["position"]).replace("\n", "") for member in running]
        for member in running:
            for position in executed:
                (row,) = member.ask(f"SELECT wait_for_executed_gtid_set('{position}',30) AS has_not")
                if row["has_not"]:
                    raise TimeoutError(f"{member.name} has not applied {position} in 30 s")

    def _start_servers(self, directory: Path) -> None:
        group, peers = str(uuid.uuid4()), list[str]()
        for number in range(self._size):
            path = directory / f"member{number}"
            self.nodes.append(GroupMember(path, number, group, peers, schema=self._schema, keep=self._keep, options=self._mysql_options))
        for member in self.nodes:
            self._started(member)
        self.mariadb = self.nodes[0]
        self.nodes[0].bootstrap()
        for member in self.nodes[1:]:
            member.join()
        self._await(self._is_complete, "all members are ONLINE")
        self.redis_server = self._started_redis(directory)

    def _repair(self) -> None:
        super()._repair()
        if not any(member.state in _IN_GROUP for member in self.nodes):
            self._with_the_most().bootstrap()
        self._await(self._is_complete_again, "all members are ONLINE again")

    def _is_complete_again(self) -> bool:
        """Let those members join that have left, or have noticed meanwhile that the others went on without them."""
        for member in self.nodes:
            if member.state not in _IN_GROUP:
                member.leave()
                member.join()
        return self._is_complete()

    def _with_the_most(self) -> GroupMember:
        """Return the member that has executed what all have, of a group that has ended."""
        executed = {member: str(member.ask("SELECT @@global.gtid_executed AS position")[0]["position"]) for member in self.nodes}
        for member, position in executed.items():
            others = " AND ".join(f"gtid_subset('{other}','{position}')" for other in executed.values()).replace("\n", "")
            if member.ask(f"SELECT {others} AS has_all")[0]["has_all"]:
                return member
        raise StartupError("group replication: each member has something that another one lacks")

    def _is_complete(self) -> bool:
        return all(member.state == "ONLINE" and member.online == self._size for member in self.nodes)
