"""Relation: the id that a pair of users shares. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dbproxy.errors import StoreUnavailableError
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.stores.mysql import DBConn, DBPool, Result

Pair = tuple[int, int]
"""(smaller user id, bigger user id)."""

CACHED_RELATIONS = 100_000

FIND_ATTEMPTS = 3
"""How often a lookup begins anew because a remembered relate_id turned out to be wrong."""


def pair_of(user_id: int, peer_id: int) -> Pair:
    """Return the pair in the order in which IMRelationShip keeps it."""
    return (user_id, peer_id) if user_id < peer_id else (peer_id, user_id)


class RelationModel:
    """IMRelationShip. A relate_id never changes, so it is remembered; but somebody may empty or reload the tables under a running
    proxy, so whoever uses a remembered id checks it with ``confirm``, in the round trip that uses it.
    """

    def __init__(self) -> None:
        self._ids: BoundedCache[Pair, int] = BoundedCache(CACHED_RELATIONS)

    def known(self, pair: Pair) -> int | None:
        """The relate_id of a pair if it is remembered; it may be out of date. Never blocks."""
        return self._ids.get(pair)

    def find(self, database: DBPool | DBConn, pairs: Iterable[Pair]) -> dict[Pair, int]:
        """Return the relate_ids of those pairs that have a visible relation; asks only for those it does not remember."""
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
            for row in rows:  # the oldest of several comes last and wins
                relate_id, small, big = map(int, row)
                found[small, big] = relate_id
                self._ids.put((small, big), relate_id)
        return found

    def confirmed(
        self,
        database: DBPool,
        pairs: Iterable[Pair],
        read: Callable[[dict[Pair, int]], tuple[Iterable[tuple[bytes, bytes, bytes]], Result]],
    ) -> Result:
        """Call ``read`` with the relations of those pairs that have one, until the rows (see ``confirm``) that it returns beside its result
        confirm them. It reads with the same round trip as it asks for those rows.

        Raises:
            StoreUnavailableError: the relations keep changing.

        """
        asked = set(pairs)
        for _ in range(FIND_ATTEMPTS):
            relations = self.find(database, asked)
            rows, result = read(relations)
            if self.confirm(relations, rows):
                return result
        raise StoreUnavailableError("relations keep changing while they are used")

    @staticmethod
    def confirm_query(relate_ids: Iterable[int], *, lock: bool = False) -> str:
        """The query whose rows ``confirm`` takes. With ``lock`` it locks the rows: whoever holds them is alone with these
        conversations, on this proxy and on others.
        """
        ids = ",".join(map(str, sorted(set(relate_ids))))
        return (
            f"select id,smallId,bigId from IMRelationShip force index (primary) where id in ({ids}) and status=0 order by id"
            f"{' for update' if lock else ''}"
        )

    def confirm(self, relations: dict[Pair, int], rows: Iterable[tuple[bytes, bytes, bytes]]) -> bool:
        """Whether the rows say the same as ``relations``; what they do not confirm is forgotten, so that ``find`` asks again."""
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
        """Make relations in the running transaction; the caller holds their named locks and ``remember``s them after the commit.

        Returns None when one of them exists after all (somebody was faster, or it had been removed and is visible again now): then
        the transaction has to begin anew.
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

    def remember(self, relations: dict[Pair, int]) -> None:
        """Keep relations whose transaction has been committed."""
        for pair, relate_id in relations.items():
            self._ids.put(pair, relate_id)
