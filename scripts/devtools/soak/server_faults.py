"""Faults of one MySQL server and of one Redis server. One thread."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pymysql

from dbproxy.testing.stack import Stack
from devtools.soak.faults import Fault, Scene


def sessions(stack: Stack) -> list[int]:
    """Return the numbers of the connections that proxies have to the MySQL server that takes the writes."""
    account, database = stack.config()["teamtalk_master_username"], stack.mariadb.database
    with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
        cursor.execute("show processlist")  # MySQL's information_schema.processlist fails at an emoji in a statement
        rows = cursor.fetchall()
    others = [row for row in rows if row["Info"] != "show processlist" and (row["User"], row["db"]) == (account, database)]
    return sorted(int(row["Id"]) for row in others)


class MySQLFaults:
    """Of the server that takes the writes."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stack = scene.stack
        self._rng = scene.rng

    def all(self) -> Sequence[Fault]:
        """Return them, with those of the connection of the proxy that is restarted."""
        cuts = (self._cut_mysql, self._cut_commits)
        return [*self.of_server(), *map(Fault, cuts)]

    def of_server(self) -> Sequence[Fault]:
        """Return those of the server itself."""
        faults = (self._kill_mysql, self._restart_mysql, self._freeze_mysql, self._kill_mysql_connections, self._lock_rows)
        return [*map(Fault, faults)]

    def _kill_mysql(self) -> None:
        server = self._stack.mariadb
        server.kill()
        self._scene.sleep(0.1, 1)
        server.start()

    def _restart_mysql(self) -> None:
        self._stack.mariadb.restart()

    def _freeze_mysql(self) -> None:
        self._scene.freeze(self._stack.mariadb)

    def _kill_mysql_connections(self) -> None:
        for _ in range(self._rng.randint(1, 10)):
            own = sessions(self._stack)
            for number in self._rng.sample(own, self._rng.randint(0, len(own))):
                with contextlib.suppress(pymysql.err.OperationalError):  # it may have ended
                    self._stack.rows(f"kill {number}")
            self._scene.sleep(0, 0.1)

    def _cut_mysql(self) -> None:
        self._scene.cut(self._scene.mysql_link)

    def _cut_commits(self) -> None:
        for _ in range(self._rng.randint(3, 12)):
            marker = self._rng.choice((b";commit", b"insert into IM", b"begin", b"for update"))
            self._scene.mysql_link.cut_at(marker, pass_on=self._rng.random() < 0.5)
            self._scene.sleep(0, 0.15)

    def _lock_rows(self) -> None:
        """Lock rows of conversations in another transaction and in another order than a proxy."""
        with contextlib.closing(self._stack.mysql()) as connection, connection.cursor() as cursor:
            for _ in range(self._rng.randint(1, 4)):
                connection.begin()
                with contextlib.suppress(pymysql.err.OperationalError):  # this transaction may be the victim of a deadlock
                    cursor.execute("update IMRecentSession set updated=updated+1 where id%3=1 order by id desc limit 20")
                    cursor.execute("update IMRelationShip set updated=updated+1 order by id desc limit 10")
                    cursor.execute("update IMGroup set updated=updated+1 where id=101")
                    self._scene.sleep(0, 0.6)
                connection.rollback()


class RedisData:
    """What happens to the data of Redis, whatever its topology."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stack = scene.stack

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [Fault(self._flush_redis), Fault(self._old_counters)]

    def _flush_redis(self) -> None:
        with self._stack.redis("unread") as client:
            client.flushall()

    def _old_counters(self) -> None:
        """Set the counters of msg_ids back to values of a moment ago, as a restore from a snapshot does."""
        with self._stack.redis("unread") as client:
            old = {key: value for key in client.scan_iter("*msg_id_*") if (value := client.get(key)) is not None}
            self._scene.sleep(0.5, 1.5)
            for key, value in old.items():
                client.set(key, value)


class RedisFaults:
    """Of a single Redis server."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._server = scene.stack.redis_server

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [*map(Fault, (self._kill_redis, self._freeze_redis, self._cut_redis))]

    def _kill_redis(self) -> None:
        self._server.kill()
        self._scene.sleep(0, 1)
        self._server.start()

    def _freeze_redis(self) -> None:
        self._scene.freeze(self._server)

    def _cut_redis(self) -> None:
        self._scene.cut(self._scene.redis_link)
