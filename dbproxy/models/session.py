"""Session: the recent conversations of users (IMRecentSession, one row per user, peer and type). Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.packing import SEPARATOR, packed
from dbproxy.stores.mysql import DBConn, DBPool, ReadPool, Row, lock_rows

SINGLE, GROUP = 1, 2
"""SessionType of the protocol: the peer is a person or a group."""

MAX_SESSIONS = 100
"""Sessions in one list, at most."""

CACHED_SESSIONS = 200_000

SessionKey = tuple[int, int]
"""(user id, peer id) of a session whose type is known from the context."""


class Session(NamedTuple):
    """A visible session; ``updated`` in unix seconds."""

    user_id: int
    peer_id: int
    session_type: int
    updated: int


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Which of the requested sessions have a row (with its id), and which have none."""

    ids: Mapping[SessionKey, int]
    missing: tuple[SessionKey, ...]


NO_SESSION_ROWS = SessionRows({}, ())
"""No session is left to be touched or added."""


class SessionModel:
    """IMRecentSession."""

    def __init__(self, master: DBPool, slave: ReadPool) -> None:
        self._master = master
        self._slave = slave
        self._ids: BoundedCache[tuple[SessionKey, int], int] = BoundedCache(CACHED_SESSIONS)

    # cached row ids, for MessageStore

    def touch_cached(self, keys: Sequence[SessionKey], session_type: int, now: int) -> str | None:
        """The statement that makes sessions visible with ``updated`` = now; None unless the row ids of all of them are cached.

        It matches exactly ``len(keys)`` rows, unless rows were deleted or reloaded: then the caller calls ``drop_ids`` and finds them with
        ``find_query``.
        """
        ids = [self._ids.get((key, session_type)) for key in keys]
        if None in ids:
            return None
        among = ",".join(f"({user_id},{peer_id},{session_type})" for user_id, peer_id in keys)
        return (
            f"update IMRecentSession force index (primary) set status=0,updated={now} "
            f"where id in ({','.join(map(str, ids))}) and (userId,peerId,type) in ({among})"
        )

    def cache_ids(self, sessions: SessionRows, session_type: int) -> None:
        """Cache the ids of rows that were found."""
        for key, row_id in sessions.ids.items():
            self._ids.put((key, session_type), row_id)

    def drop_ids(self, keys: Iterable[SessionKey], session_type: int) -> None:
        """Drop cached ids that turned out to be wrong."""
        for key in keys:
            self._ids.drop((key, session_type))

    # lists

    def recent(self, wanted: Sequence[tuple[int, int]]) -> list[list[Session]]:
        """For each (user id, time): the visible sessions updated after the time, newest first, at most 100.

        One query for all users, cut and sorted here: a small query for each, with an order and a limit of its own, would cost the server
        twice as much. It reads all sessions of a user in any case, because no stock index has them by time.
        """
        users = ",".join(map(str, sorted({user_id for user_id, _ in wanted})))
        oldest = min((since for _, since in wanted), default=0)
        rows = self._slave.select(
            f"select {packed('userId', 'peerId', 'type', 'updated')} from IMRecentSession where userId in ({users}) and status=0 "
            f"and updated>{oldest} and type in ({SINGLE},{GROUP})"
        )
        of_user: dict[int, list[Session]] = {}
        for (text,) in rows:
            session = tuple.__new__(Session, map(int, text.split(SEPARATOR)))
            of_user.setdefault(session.user_id, []).append(session)
        for sessions in of_user.values():
            sessions.sort(key=lambda session: -session.updated)
        return [[session for session in of_user.get(user_id, ()) if session.updated > since][:MAX_SESSIONS] for user_id, since in wanted]

    def remove(self, user_id: int, peer_id: int, session_type: int, now: int) -> bool:
        """Make a session invisible; False when there is no visible one."""
        statement = (
            f"update IMRecentSession set status=1,updated={now} "
            f"where userId={user_id} and peerId={peer_id} and type={session_type} and status=0"
        )
        return self._master.write(lambda connection: connection.execute(statement)) > 0

    @staticmethod
    def remove_group_sessions(connection: DBConn, group_id: int, user_ids: Iterable[int], now: int) -> None:
        """Make the sessions of these users with a group invisible, in a transaction that has locked the group; locks nothing but them."""
        users = ",".join(map(str, user_ids))
        rows = connection.select(
            f"select id from IMRecentSession where userId in ({users}) and peerId={group_id} and type={GROUP} and status=0"
        )
        if rows:
            among = b",".join(row_id for (row_id,) in rows).decode()
            connection.execute(f"update IMRecentSession force index (primary) set status=1,updated={now} where id in ({among})")

    @staticmethod
    def find_query(keys: Iterable[SessionKey], session_type: int) -> str:
        """The query whose rows ``rows_of`` takes."""
        among = ",".join(f"({user_id},{peer_id},{session_type})" for user_id, peer_id in keys)
        return f"select id,userId,peerId,status from IMRecentSession where (userId,peerId,type) in ({among})"

    @staticmethod
    def rows_of(keys: Sequence[SessionKey], rows: Sequence[Row]) -> SessionRows:
        """Assign the rows of ``find_query`` to the keys. Of a session with several rows it is a visible one, of these the oldest."""
        best: dict[SessionKey, tuple[bytes, int]] = {}
        for row_id, user_id, peer_id, status in rows:
            key = (int(user_id), int(peer_id))
            candidate = (status or b"0", int(row_id))
            if key not in best or candidate < best[key]:
                best[key] = candidate
        return SessionRows(
            {key: best[key][1] for key in keys if key in best},
            tuple(key for key in keys if key not in best),
        )

    @staticmethod
    def touch_statements(sessions: SessionRows, session_type: int, now: int) -> list[str]:
        """The statements that make sessions visible with ``updated`` = now, and add those that are missing.

        To add sessions, the caller must hold the named lock of the conversation, because no unique index prevents a second row.
        """
        statements = []
        if sessions.ids:
            ids = ",".join(map(str, sorted(sessions.ids.values())))
            statements.append(f"update IMRecentSession force index (primary) set status=0,updated={now} where id in ({ids})")
        if sessions.missing:
            statements.append(SessionModel.add_statement(sessions.missing, session_type, now))
        return statements

    @staticmethod
    def add_statement(keys: Iterable[SessionKey], session_type: int, now: int) -> str:
        """The statement that adds rows for sessions that have none."""
        rows = ",".join(f"({user_id},{peer_id},{session_type},0,{now},{now})" for user_id, peer_id in keys)
        return f"insert into IMRecentSession (userId,peerId,type,status,created,updated) values {rows}"

    @staticmethod
    def touch_group_sessions(
        connection: DBConn, keys: Sequence[SessionKey], updated: Mapping[int, int], now: int, lock_names: Collection[str]
    ) -> None:
        """Set ``updated`` of group sessions, (user id, group id), to the time of their group (group id → unix seconds), whatever their
        status, and add those that are missing as of now.

        One transaction.

        The caller holds the named locks of these groups, ``lock_names``.
        """
        find = SessionModel.find_query(keys, GROUP)
        connection.execute("begin")
        sessions = SessionModel.rows_of(keys, connection.select(find))
        if sessions.missing and (rows := lock_rows(connection, lock_names)):  # not always: the messages of a busy group need the row too
            connection.execute("rollback")
            sessions = SessionModel.rows_of(keys, connection.script(("begin", *rows, find))[-1])
        statements = []
        if sessions.ids:
            ids = ",".join(map(str, sorted(sessions.ids.values())))
            times = " ".join(f"when {group_id} then {time}" for group_id, time in sorted(updated.items()))
            # one statement, so that rows are locked in the order of their ids, as by everybody else
            statements.append(f"update IMRecentSession force index (primary) set updated=case peerId {times} end where id in ({ids})")
        if sessions.missing:
            statements.append(SessionModel.add_statement(sessions.missing, GROUP, now))
        connection.commit_script(statements)
