"""SyncCenter: the background group session sync, in a thread of its own.

A group message does not touch the recent sessions of the members who only read. Every few seconds the sync does it for all members of
the groups in which somebody wrote since the last time, so that it costs one pass per group and not one row per member and message.
"""

from __future__ import annotations

import logging
import threading
import time

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.session import SessionModel
from dbproxy.stores.cache import CachePool, number
from dbproxy.stores.mysql import DBPool

logger = logging.getLogger(__name__)

MEMBERS_PER_TRANSACTION = 500

OVERLAP = 5
"""Seconds before the previous run that are looked at again: ``lastChated`` is set a moment before its transaction is committed."""

FIRST_LOOK_BACK = 24 * 60 * 60
"""Seconds that the first run looks back when Redis does not know when the last one was."""


class SyncCenter:
    """Runs once at the start and then every ``interval`` seconds. The time of the last run is kept in Redis, so that what was written
    while no proxy ran still reaches the recent lists.
    """

    def __init__(self, master: DBPool, unread: CachePool, members: GroupMembers, interval: float, lock_timeout: float) -> None:
        self._master = master
        self._unread = unread
        self._members = members
        self._interval = interval
        self._lock_timeout = lock_timeout
        self._last_run = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync-center", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let the thread end after the group it is at, and wait up to ``timeout`` seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def sync(self) -> None:
        """One run.

        Raises:
            StoreError: a backend failed; the next run does what this one has not.

        """
        now = int(time.time())
        since = number(self._unread.run([("GET", names.LAST_UPDATE_GROUP_KEY)])[0]) or self._last_run or now - FIRST_LOOK_BACK
        rows = self._master.select(f"select id,lastChated from IMGroup where status=0 and lastChated>={max(1, since - OVERLAP)}")
        chated = {int(group_id): int(last_chated) for group_id, last_chated in rows}
        members = self._members.of(chated)
        for group_id, last_chated in chated.items():
            users = members.get(group_id, [])
            for start in range(0, len(users), MEMBERS_PER_TRANSACTION):
                if self._stop.is_set():
                    return
                with (
                    self._master.connection() as connection,
                    connection.named_locks((GroupMembers.lock_name(group_id),), self._lock_timeout),
                ):
                    SessionModel.touch_group_sessions(
                        connection, group_id, users[start : start + MEMBERS_PER_TRANSACTION], last_chated, now
                    )
        self._last_run = now
        self._unread.run([("SET", names.LAST_UPDATE_GROUP_KEY, now)])

    def _run(self) -> None:
        while not self._stop.is_set():
            self._members.forget_stale()
            try:
                self.sync()
            except StoreError as error:
                logger.error("group session sync failed, the next run catches up: %s", error)
            except Exception:
                logger.exception("group session sync failed, the next run catches up")
            self._stop.wait(self._interval)
