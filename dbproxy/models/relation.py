"""Relation: the id that a pair of users shares. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dbproxy.errors import StoreUnavailableError
from dbproxy.models import names
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.stores.mysql import DBConn, ReadablePool, ReadPool, schema

Pair = tuple[int, int]
"""(smaller user id, bigger user id)."""

CACHED_RELATIONS = 100_000

READ_ATTEMPTS = 3
"""How often a read that uses relate_ids is tried, because ``RelationModel.confirm`` found that a cached one is wrong."""


class RelationsChangedError(StoreUnavailableError):
    """None of ``READ_ATTEMPTS`` attempts found the relations as they were cached."""

    def __init__(self) -> None:
        super().__init__("relations keep changing while they are used")


def pair_of(user_id: int, peer_id: int) -> Pair:
    """Return the pair in the order in which IMRelationShip keeps it."""
    return (user_id, peer_id) if user_id < peer_id else (peer_id, user_id)


def used_last(database: ReadablePool | ReadPool | DBConn, relate_ids: Collection[int]) -> int:
    """Return which of several visible relations of a pair is theirs: the one with the latest visible message, so that people who come from
    the C++ daemon, which goes on in the newest relation, find what they have just written. Of those without messages the oldest.
    """
    latest = " union all ".join(
        f"(select {relate_id},created from {names.message_table(relate_id)} force index ({schema.MESSAGE_BY_TIME}) "
        f"where relateId={relate_id} and status=0 order by created desc limit 1)"
        for relate_id in relate_ids
    )
    used = [(int(created), int(relate_id)) for relate_id, created in database.select(latest)]
    return max(used)[1] if used else min(relate_ids)


class RelationModel:
    """IMRelationShip. A relate_id never changes, so it is cached; but an operator may empty or reload the tables under a running proxy, so
    a caller that uses a cached id checks it with ``confirm``, in the round trip that uses it.
    """

    def __init__(self) -> None:
        self._ids: BoundedCache[Pair, int] = BoundedCache(CACHED_RELATIONS)

    def cached_id(self, pair: Pair) -> int | None:
        """The relate_id of a pair if it is cached; it may be out of date. Never blocks."""
        return self._ids.get(pair)

    def find(self, database: ReadablePool | ReadPool | DBConn, pairs: Iterable[Pair]) -> dict[Pair, int]:
        """Return the relate_ids of those pairs that have a visible relation; only those that are not cached are looked up. Of a pair with
        several, which the original may have left, it is the one that ``used_last`` finds.
        """
        found: dict[Pair, int] = {}
        unknown: list[Pair] = []
        for pair in set(pairs):
            relate_id = self._ids.get(pair)
            if relate_id is None:
                unknown.append(pair)
            else:
                found[pair] = relate_id
        if unknown:
            among = ",".join(f"({small},{big})" for small, big in unknown)
            rows = database.select(
                f"select id,smallId,bigId from IMRelationShip where (smallId,bigId) in ({among}) and status=0 order by id desc"
            )
            several: dict[Pair, list[int]] = {}
            for row in rows:
                relate_id, small, big = map(int, row)
                former = found.setdefault((small, big), relate_id)
                if former != relate_id:
                    several.setdefault((small, big), [former]).append(relate_id)
            for pair, relate_ids in several.items():
                found[pair] = used_last(database, relate_ids)
            for pair in unknown:
                if pair in found:
                    self._ids.put(pair, found[pair])
        return found

    @staticmethod
    def confirm_query(relate_ids: Iterable[int], *, lock: bool = False) -> str:
        """Return the query whose rows ``confirm`` takes. With ``lock`` it locks the rows, which excludes all other transactions on these
        conversations, of this proxy and of others.
        """
        ids = ",".join(map(str, sorted(set(relate_ids))))
        return (
            f"select id,smallId,bigId from IMRelationShip force index (primary) where id in ({ids}) and status=0 order by id"
            f"{' for update' if lock else ''}"
        )

    def confirm(self, relations: dict[Pair, int], rows: Iterable[tuple[bytes, bytes, bytes]]) -> bool:
        """Whether the rows agree with ``relations``; what they do not confirm is dropped from the cache, so that ``find`` looks it up."""
        confirmed = {(int(small), int(big)): int(relate_id) for relate_id, small, big in rows}
        wrong = [pair for pair, relate_id in relations.items() if confirmed.get(pair) != relate_id]
        for pair in wrong:
            self._ids.drop(pair)
        return not wrong

    @staticmethod
    def lock_name(pair: Pair) -> str:
        """The named lock under which the rows of a pair (relation and both sessions) are created."""
        return f"dbproxy.pair.{pair[0]}.{pair[1]}"

    def create(self, connection: DBConn, pairs: Sequence[Pair], now: int) -> dict[Pair, int] | None:
        """Add relations in the running transaction; the caller holds their named locks and calls ``cache_ids`` after the commit.

        Returns None when one of them exists after all (added by another process, or it had been removed and was made visible just now):
        then the transaction has to begin again.
        """
        among = ",".join(f"({small},{big})" for small, big in pairs)
        rows = connection.select(f"select id,status from IMRelationShip where (smallId,bigId) in ({among})")
        if rows:
            removed = [int(relate_id) for relate_id, status in rows if status != b"0"]
            if removed:
                ids = ",".join(map(str, removed))
                connection.script((f"update IMRelationShip force index (primary) set status=0,updated={now} where id in ({ids})", "commit"))
            return None
        created: dict[Pair, int] = {}
        for small, big in pairs:
            connection.execute(f"insert into IMRelationShip (smallId,bigId,status,created,updated) values ({small},{big},0,{now},{now})")
            created[small, big] = int(connection.insert_id())
        return created

    def cache_ids(self, relations: dict[Pair, int]) -> None:
        """Cache relations whose transaction has been committed."""
        for pair, relate_id in relations.items():
            self._ids.put(pair, relate_id)
