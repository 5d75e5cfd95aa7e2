"""Duplicate relations and sessions. Stock tables have no unique index, and the original creates duplicates now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from dbproxy.audit.finding import Finding, Severity, listed
from dbproxy.audit.walk import AuditBackends
from dbproxy.models import names
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT
from dbproxy.models.relation import Pair, RelationModel, used_last
from dbproxy.models.session import SINGLE, SessionModel
from dbproxy.stores.mysql import DBConn, ReadablePool, Row
from dbproxy.stores.mysql.literals import id_list
from dbproxy.stores.mysql.slices import slices

SessionId = tuple[int, int, int]
"""(user id, peer id, session type)."""


class DuplicateRelations:
    """Pairs of users with several visible relations: the proxy works with the one that was used last, and messages stored under the
    others cannot be read.

    The repair hides (status 1) relations without a message, because that changes nothing that a user has seen. Two relations that both
    have messages are only reported: ``merge.py`` merges them, which changes acknowledged msg_ids.
    """

    title = "relations"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        for pair in self.pairs():
            ids = visible_relations(self._backends.master, pair)
            used, empty = used_and_empty(self._backends.master, ids)
            if len(ids) < 2:
                continue
            where = f"IMRelationShip, users {pair[0]} and {pair[1]}"
            if empty:
                yield Finding(
                    "duplicate-relation",
                    Severity.WRONG,
                    where,
                    f"relations {listed(ids)} are all visible; nothing is stored under {listed(empty)}",
                    f"hides {listed(empty)}",
                    lambda pair=pair: self.hide_empty(pair),  # type: ignore[misc]
                )
            if len(used) > 1:
                yield Finding(
                    "split-conversation",
                    Severity.SEVERE,
                    where,
                    f"messages are stored under the relations {listed(used)}; only those of {used[0]} can be read",
                    "nothing: messages that move to another relation get other ids, which dbproxy-audit --merge does",
                )

    def pairs(self) -> list[Pair]:
        """Return the pairs that seem to have several visible relations; the slave, which is asked, may be behind. Raises StoreError."""
        pairs: list[Pair] = []
        for low, high in slices(self._backends.slave, "IMRelationShip", "smallId"):
            rows = self._backends.slave.select(
                f"select smallId,bigId from IMRelationShip where smallId between {low} and {high} and status=0 "
                "group by smallId,bigId having count(*)>1"
            )
            pairs += [(int(small), int(big)) for small, big in rows]
        return pairs

    def hide_empty(self, pair: Pair) -> str | None:
        """Hide the relations of a pair that are not needed; what was done, None if there was nothing to do. Raises StoreError."""

        def hide(connection: DBConn) -> list[int]:
            # the row locks that storing a message takes: it is stored before this, or uses another relation afterwards
            ids = visible_relations(connection, pair, " for update")
            _, empty = used_and_empty(connection, ids)
            if empty:
                connection.execute(f"update IMRelationShip set status=1,updated={int(time.time())} where id in ({id_list(empty)})")
            return empty

        if not used_and_empty(self._backends.master, visible_relations(self._backends.master, pair))[1]:
            return None
        hidden = self._backends.with_locks(hide, RelationModel.lock_name(pair))
        return f"hid the relations {listed(hidden)}" if hidden else None


class DuplicateSessions:
    """Sessions (user, peer, type) with several rows: they are listed twice, or reappear after they were removed.

    The repair keeps the row that the proxy uses, with the newest time of those that are visible, and deletes the others.
    """

    title = "sessions"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        found: list[SessionId] = []
        for low, high in slices(self._backends.slave, "IMRecentSession", "userId"):
            rows = self._backends.slave.select(
                f"select userId,peerId,type from IMRecentSession where userId between {low} and {high} and type is not null "
                "group by userId,peerId,type having count(*)>1"
            )
            found += [(int(user_id), int(peer_id), int(kind)) for user_id, peer_id, kind in rows]
        for session in found:
            rows = _session_rows(self._backends.master, session)
            if len(rows) < 2:
                continue
            user_id, peer_id, kind = session
            kept = _kept(session, rows)
            yield Finding(
                "duplicate-session",
                Severity.WRONG,
                f"IMRecentSession, user {user_id}, {'person' if kind == SINGLE else 'group'} {peer_id}",
                f"rows {listed(int(row[0]) for row in rows)}; the proxy uses {kept}",
                f"keeps {kept} and deletes the rest",
                lambda session=session: self._merge(session),  # type: ignore[misc]
            )

    def _merge(self, session: SessionId) -> str | None:
        user_id, peer_id, kind = session
        lock_name = (SINGLE_CHAT if kind == SINGLE else GROUP_CHAT).lock_name((user_id, peer_id))

        def merge(connection: DBConn) -> list[int]:
            rows = _session_rows(connection, session, " for update")
            if len(rows) < 2:
                return []
            kept = _kept(session, rows)
            others = [int(row[0]) for row in rows if int(row[0]) != kept]
            newest = max((int(row[4]) for row in rows if row[3] == b"0"), default=0)
            connection.execute(f"update IMRecentSession set updated=greatest(updated,{newest}) where id={kept}")
            connection.execute(f"delete from IMRecentSession where id in ({id_list(others)})")
            return others

        deleted = self._backends.with_locks(merge, lock_name)
        return f"deleted the rows {listed(deleted)}" if deleted else None


def visible_relations(database: ReadablePool | DBConn, pair: Pair, lock: str = "") -> list[int]:
    """Return the ids of the visible relations of a pair, the oldest first; ``lock`` is added to the query."""
    rows = database.select(f"select id from IMRelationShip where smallId={pair[0]} and bigId={pair[1]} and status=0 order by id{lock}")
    return [int(relate_id) for (relate_id,) in rows]


def used_and_empty(database: ReadablePool | DBConn, ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the relations that have messages, first the one that is read; and those that can be hidden: all others, except the oldest when
    none has messages.
    """
    if not ids:
        return [], []
    query = " union all ".join(
        f"(select {relate_id} from {names.message_table(relate_id)} where relateId={relate_id} limit 1)" for relate_id in ids
    )
    used = sorted(int(relate_id) for (relate_id,) in database.select(query))
    if len(used) > 1:
        read = used_last(database, used)
        used = [read, *(relate_id for relate_id in used if relate_id != read)]
    empty = [relate_id for relate_id in ids if relate_id not in used]
    return used, empty if used else empty[1:]


def _session_rows(database: ReadablePool | DBConn, session: SessionId, lock: str = "") -> Sequence[Row]:
    user_id, peer_id, kind = session
    return database.select(
        "select id,userId,peerId,status,updated from IMRecentSession "
        f"where userId={user_id} and peerId={peer_id} and type={kind} order by id{lock}"
    )


def _kept(session: SessionId, rows: Sequence[Row]) -> int:
    key = session[:2]
    return SessionModel.rows_of((key,), [row[:4] for row in rows]).ids[key]
