"""The faults of the soak test: in the backends, the network, and one of the proxies. One thread."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pymysql

from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.file_server import Faults as FileFaults
from dbproxy.testing.file_server import FileServer
from dbproxy.testing.process import ChildProcess
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack

LONGEST_FREEZE = 3.0
"""Seconds."""

STOP_LIMIT = 10.0
"""Seconds in which a proxy must end after SIGTERM; its StopGrace is shorter."""

SERVER_USER = "teamtalk"


@dataclass(slots=True)
class Window:
    """The time of a fault, in seconds of the monotonic clock."""

    what: str
    began: float = field(default_factory=time.monotonic)
    ended: float = float("inf")


class Faults:
    """All faults, and the random generator that chooses among them."""

    def __init__(
        self,
        stack: Stack,
        restarted: ProxyProcess,
        files: FileServer,
        mysql_link: FaultyLink,
        redis_link: FaultyLink,
        rng: random.Random,
    ) -> None:
        """``restarted`` is the proxy that is killed and restarted, and that reaches the backends over the links."""
        self.windows: list[Window] = []
        self.problems: list[str] = []
        self._stack = stack
        self._restarted = restarted
        self._files = files
        self._mysql_link = mysql_link
        self._redis_link = redis_link
        self._rng = rng
        self._all: tuple[Callable[[], None], ...] = (
            self._kill_mysql,
            self._restart_mysql,
            self._freeze_mysql,
            self._kill_mysql_connections,
            self._cut_mysql,
            self._cut_commits,
            self._lock_rows,
            self._kill_redis,
            self._flush_redis,
            self._freeze_redis,
            self._cut_redis,
            self._old_counters,
            self._stop_proxy,
            self._kill_proxy,
            self._break_file_server,
        )
        self._remaining: list[Callable[[], None]] = []

    def inject_next(self) -> str:
        """Inject the next fault and wait until it is over; return its description. Each fault comes once before any is repeated."""
        if not self._remaining:
            self._remaining = self._rng.sample(self._all, len(self._all))
        fault = self._remaining.pop()
        window = Window(fault.__name__.strip("_").replace("_", " "))
        self.windows.append(window)
        fault()
        window.ended = time.monotonic()
        return f"{window.what}, {window.ended - window.began:.1f} s"

    # MySQL

    def _kill_mysql(self) -> None:
        self._stack.mariadb.kill()
        self._sleep(0.1, 1)
        self._stack.mariadb.start()

    def _restart_mysql(self) -> None:
        self._stack.mariadb.restart()

    def _freeze_mysql(self) -> None:
        self._freeze(self._stack.mariadb)

    def _kill_mysql_connections(self) -> None:
        for _ in range(self._rng.randint(1, 10)):
            own = self._connections()
            for number in self._rng.sample(own, self._rng.randint(0, len(own))):
                with contextlib.suppress(pymysql.err.OperationalError):  # it may have ended
                    self._stack.rows(f"kill {number}")
            self._sleep(0, 0.1)

    def _connections(self) -> list[int]:
        rows = self._stack.rows(
            "select id from information_schema.processlist where user=%s and id<>connection_id() and db=%s",
            (SERVER_USER, self._stack.mariadb.database),
        )
        return sorted(int(str(row["id"])) for row in rows)

    def _cut_mysql(self) -> None:
        self._cut(self._mysql_link)

    def _cut_commits(self) -> None:
        for _ in range(self._rng.randint(3, 12)):
            marker = self._rng.choice((b";commit", b"insert into IM", b"begin", b"for update"))
            self._mysql_link.cut_at(marker, pass_on=self._rng.random() < 0.5)
            self._sleep(0, 0.15)

    def _lock_rows(self) -> None:
        """Lock rows of conversations in another transaction and in another order than a proxy."""
        with contextlib.closing(self._stack.mysql()) as connection, connection.cursor() as cursor:
            for _ in range(self._rng.randint(1, 4)):
                connection.begin()
                with contextlib.suppress(pymysql.err.OperationalError):  # this transaction may be the victim of a deadlock
                    cursor.execute("update IMRecentSession set updated=updated+1 where id%3=1 order by id desc limit 20")
                    cursor.execute("update IMRelationShip set updated=updated+1 order by id desc limit 10")
                    cursor.execute("update IMGroup set updated=updated+1 where id=101")
                    self._sleep(0, 0.6)
                connection.rollback()

    # Redis

    def _kill_redis(self) -> None:
        self._stack.redis_server.kill()
        self._sleep(0, 1)
        self._stack.redis_server.start()

    def _flush_redis(self) -> None:
        with self._stack.redis("unread") as client:
            client.flushall()

    def _freeze_redis(self) -> None:
        self._freeze(self._stack.redis_server)

    def _cut_redis(self) -> None:
        self._cut(self._redis_link)

    def _old_counters(self) -> None:
        """Set the counters of msg_ids back to values of a moment ago, as a restore from a snapshot does."""
        with self._stack.redis("unread") as client:
            old = {key: value for key in client.scan_iter("*msg_id_*") if (value := client.get(key)) is not None}
            self._sleep(0.5, 1.5)
            if old:
                client.mset(old)

    # the proxy and the file server

    def _stop_proxy(self) -> None:
        self._restarted.terminate()
        try:
            status = self._restarted.wait(STOP_LIMIT)
            if status:
                self.problems.append(f"SIGTERM ended the proxy with status {status}")
        except TimeoutError as error:
            self.problems.append(str(error))
            self._restarted.kill()
        self._restarted.start()

    def _kill_proxy(self) -> None:
        self._restarted.kill()
        self._sleep(0, 0.5)
        self._restarted.start()

    def _break_file_server(self) -> None:
        self._files.faults = self._rng.choice(
            (FileFaults(drop=True), FileFaults(status=500), FileFaults(garbage=True), FileFaults(error_code=1), FileFaults(delay=0.5))
        )
        self._sleep(1, 3)
        self._files.faults = FileFaults()

    # shared

    def _freeze(self, server: ChildProcess) -> None:
        server.freeze()
        try:
            self._sleep(0.5, LONGEST_FREEZE)
        finally:
            server.thaw()

    def _cut(self, link: FaultyLink) -> None:
        for _ in range(self._rng.randint(1, 8)):
            link.cut_all()
            self._sleep(0, 0.15)

    def _sleep(self, least: float, most: float) -> None:
        time.sleep(self._rng.uniform(least, most))
