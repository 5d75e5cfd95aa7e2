"""SyncCenter: the background group session sync, in a thread of its own.

A group message does not touch the recent sessions of the members who only read. Every few seconds the sync does it for all members of
the groups in which somebody wrote since the last time, so that it costs one pass per group and not one row per member and message. Small
groups share a transaction: most of what one costs is waiting for the server.

Of several proxies one does it, the one that was started last. It keeps a key in Redis with a token of its own, and renews it while a run
makes progress; the others leave the sync to it until that key has expired, or is given up because a backend failed. They also leave it
alone while somebody else writes the time of the last run, which C++ daemons do. Two that do it at the same moment do no harm: both write
the same.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

from dbproxy.errors import StatementError, StoreError
from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.session import SessionKey, SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, named_locks
from dbproxy.stores.redis import CachePool, number

logger = logging.getLogger(__name__)

MEMBERS_PER_TRANSACTION = 500

OVERLAP = 60
"""Seconds before the previous run that are covered again: ``lastChated`` is set when a transaction begins, and it may be long until it
is committed, while a backend hangs. What has been done for a ``lastChated`` is not done again."""

FIRST_INTERVAL = 24 * 60 * 60
"""Seconds before the first run that it covers when Redis does not know when the last one was."""


MISSED_INTERVALS = 2
"""So many intervals after the last sign of another process it is taken for gone."""


class SyncCenter:
    """Runs once at the start and then every ``interval`` seconds, unless another process does it. The time of the last run is kept in
    Redis, so that what was written while no proxy ran still reaches the recent lists. Any thread may call ``configure``, ``pause`` and
    ``resume``.
    """

    def __init__(self, master: DBPool, unread: CachePool, members: GroupMembers, interval: float) -> None:
        self._master = master
        self._unread = unread
        self._members = members
        self._interval = interval
        self._token = uuid.uuid4().hex.encode()
        self._has_begun = False
        self._owned_at = -math.inf
        """Monotonic time at which the owner's key was renewed."""
        self._last_run = 0
        self._completed = time.monotonic()
        self.failures = 0
        """Runs that failed, or in which a group did. Any thread may read it."""
        self._done: dict[int, int] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._paused = False
        self._running = False
        self._thread = threading.Thread(target=self._run, name="sync-center", daemon=True)

    @property
    def lag(self) -> float:
        """Seconds since the last run that was complete; before that, since it was made. Any thread."""
        return time.monotonic() - self._completed

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let the thread end after the part of a group it is at, and wait up to ``timeout`` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def configure(self, interval: float) -> None:
        """Change the seconds between two runs, also for the wait that has begun."""
        with self._changed:
            self._interval = interval
            self._changed.notify_all()

    def pause(self, timeout: float) -> bool:
        """Begin no run until ``resume``. One that is under way ends after the part of a group it is at, and is done again after that; wait
        for it up to ``timeout`` seconds, and return whether that was enough.
        """
        with self._changed:
            self._paused = True
            return self._changed.wait_for(lambda: not self._running, timeout)

    def resume(self) -> None:
        """Begin runs again."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def sync(self) -> None:
        """One run, unless another process does them.

        Raises:
            StoreError: a backend failed; the next run does what this one has not.

        """
        now = int(time.time())
        reply, owner = self._unread.read([("GET", names.LAST_UPDATE_GROUP_KEY), ("GET", names.GROUP_SYNC_OWNER_KEY)])
        last_run = number(reply)
        if not self._becomes_owner(owner, last_run, now):
            if last_run:
                self._completed = time.monotonic() - max(0, now - last_run)
            return
        try:
            self._sync_since(last_run, now)
        except StatementError:  # of single groups; another process would fare no better
            raise
        except StoreError:
            self._give_up()
            raise

    def _sync_since(self, last_run: int, now: int) -> None:
        since = max(1, min(last_run or self._last_run or now - FIRST_INTERVAL, now) - OVERLAP)
        rows = self._master.select(f"select id,lastChated from IMGroup where status=0 and lastChated>={since}")
        chated = {int(group_id): int(last_chated) for group_id, last_chated in rows}
        self._done = {group_id: done for group_id, done in self._done.items() if chated.get(group_id) == done < now - 1}
        members = self._members.get_many(group_id for group_id in chated if group_id not in self._done)
        failures: list[StatementError] = []
        one_by_one: dict[int, Sequence[int]] = {}
        for groups in _together(members):
            try:
                busy = self._sync_groups(groups, chated, now)
            except StatementError as error:
                if len(groups) == 1:
                    failures.append(error)
                else:
                    one_by_one |= groups
                continue
            if busy is None:
                return
            one_by_one |= {group_id: groups[group_id] for group_id in busy}
        for group_id, users in one_by_one.items():  # one of which something is wrong, or whose lock is held, keeps no other waiting
            try:
                if self._sync_groups({group_id: users}, chated, now, waits=True) is None:
                    return
            except StatementError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        self._last_run = now
        self._keep_owning(0)
        self._unread.execute([("SET", names.LAST_UPDATE_GROUP_KEY, now)])
        self._completed = time.monotonic()

    def _sync_groups(
        self, groups: Mapping[int, Sequence[int]], chated: Mapping[int, int], now: int, *, waits: bool = False
    ) -> set[int] | None:
        """Bring the sessions of these groups up to date, of several in one transaction. Returns the groups that were left out because
        somebody holds their lock, unless it ``waits`` for it; None when it has to end before that.
        """
        sessions = [(user_id, group_id) for group_id, users in groups.items() for user_id in users]
        times = {group_id: chated[group_id] for group_id in groups}
        busy: set[int] = set()
        for start in range(0, len(sessions), MEMBERS_PER_TRANSACTION):
            if self._stopping or self._paused or not self._keep_owning(self._interval / 2):
                return None
            part = [session for session in sessions[start : start + MEMBERS_PER_TRANSACTION] if session[1] not in busy]
            busy |= self._master.write(lambda connection, part=part: self._touch(connection, part, times, now, waits=waits))  # type: ignore[misc]
        self._done |= {group_id: time for group_id, time in times.items() if group_id not in busy}
        return busy

    def _touch(self, connection: DBConn, sessions: Sequence[SessionKey], times: Mapping[int, int], now: int, *, waits: bool) -> set[int]:
        """One transaction; returns the groups that were left out because their lock is held."""
        groups = {GroupMembers.lock_name(group_id): group_id for _, group_id in sessions}
        with named_locks(connection, tuple(groups), waits=waits) as held:
            free = {groups[name]: times[groups[name]] for name in held}
            sessions = [session for session in sessions if session[1] in free]
            if sessions:
                SessionModel.touch_group_sessions(connection, sessions, free, now, held)
        return set(groups.values()) - free.keys()

    # which process does it

    def _becomes_owner(self, owner: bytes | None, last_run: int, now: int) -> bool:
        """Whether this process does the next run: the first after its start, or because no other does them."""
        is_first, self._has_begun = not self._has_begun, True
        others_do = last_run != self._last_run and 0 <= now - last_run < MISSED_INTERVALS * self._interval
        if not is_first:
            if others_do or owner not in (None, self._token):
                return False
            if owner is None and self._own("NX") is None:
                return False
        self._own()
        return True

    def _keep_owning(self, after: float) -> bool:
        """Renew the owner's key if the last time was ``after`` seconds ago; False: another process has taken over."""
        if time.monotonic() - self._owned_at < after:
            return True
        (owner,) = self._unread.read([("GET", names.GROUP_SYNC_OWNER_KEY)])
        if owner not in (None, self._token):
            return False
        self._own()
        return True

    def _own(self, *condition: str) -> object:
        """Set the owner's key, NX: if there is none. The reply is None if that has not happened."""
        milliseconds = max(1, int(1000 * MISSED_INTERVALS * self._interval))
        (reply,) = self._unread.execute([("SET", names.GROUP_SYNC_OWNER_KEY, self._token, "PX", milliseconds, *condition)])
        self._owned_at = time.monotonic()
        return reply

    def _give_up(self) -> None:
        """Let another process go on at once: this one may be the only one that does not reach a backend."""
        try:
            if self._keep_owning(0):
                self._unread.execute([("SET", names.GROUP_SYNC_OWNER_KEY, self._token, "PX", 1)])
        except StoreError as error:
            logger.debug("the group session sync could not be given up: %s", error)

    def _run(self) -> None:
        while self._begin_run():
            try:
                self.sync()
            except StoreError as error:
                self.failures += 1
                logger.error("group session sync failed, the next run catches up: %s", error)
            except Exception:
                self.failures += 1
                logger.exception("group session sync failed, the next run catches up")
            self._finish_run()

    def _begin_run(self) -> bool:
        """Wait while it is paused; False when there is to be no further run."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not self._paused)
            self._running = not self._stopping
            return self._running

    def _finish_run(self) -> None:
        """Wait until the next run is due: at once after one that was cut short by ``pause``."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
            began = time.monotonic()
            while not (self._stopping or self._paused):
                left = began + self._interval - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)


def _together(members: Mapping[int, Sequence[int]]) -> Iterator[dict[int, Sequence[int]]]:
    """Divide groups into those that share a transaction; a group with more members than one takes is alone."""
    groups: dict[int, Sequence[int]] = {}
    count = 0
    for group_id, users in members.items():
        if groups and count + len(users) > MEMBERS_PER_TRANSACTION:
            yield groups
            groups, count = {}, 0
        groups[group_id] = users
        count += len(users)
    if groups:
        yield groups
