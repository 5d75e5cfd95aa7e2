"""ConversationMerge: makes one readable history of what was split over several relations, or has msg_ids twice. One thread.

It works in steps, each a transaction that holds the locks with which proxies store messages (the rows of the relations, or of the group),
from the newest messages to the oldest. After each step every message is stored once, and no two have the same id unless they had it before.
A merge that is interrupted goes on from there; ``merge_plan.py`` says how, and which messages get new ids.

Proxies may store messages between two steps. The first one sets the counter in Redis above all new ids, and stores the largest of them,
so that messages of proxies come behind even if Redis loses the counter. At the end the relations that have become empty are hidden, in the
transaction that has seen that they are, under their locks: a proxy that has cached one of them finds it hidden and looks the pair up.

On a node of a cluster with several writers the locks do not make proxies of other nodes wait. There each message that another node stores
in the conversation ends a transaction that has changed the same lock row, and one as long as a step would not come to its end in a busy
conversation. So the counter is set first, ``settle`` waits until what proxies store has ids above the new ones, and the steps, which do
what is older, need no locks. A proxy may have held an id from before for longer: ``has_late_messages`` finds that afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from dbproxy.errors import DbproxyError
from dbproxy.models.conversation_kind import GROUP_CHAT, ConversationKind
from dbproxy.models.group_counter_shift import GroupCounterShift
from dbproxy.models.merge_plan import KeptIds, NewIds, above, kept_ids, new_ids
from dbproxy.models.message_rows import BEFORE_ALL, NEVER, ROWS_AT_ONCE, MessageRows, are_empty, columns_of, in_order, largest_ids
from dbproxy.models.relation import Pair, RelationModel
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.redis import LARGEST, CachePool, number

BackupRow = Callable[[str, dict[str, bytes | None], dict[str, int | str]], None]
"""Keeps a row before it is changed: table, column → text, and what it is changed to."""


class ChangedMeanwhileError(DbproxyError):
    """Relations or messages are not as they were when the merge was planned; nothing was changed by this step."""


class CannotMergeError(DbproxyError):
    """Why a conversation cannot be merged; nothing was changed."""


COUNTED_UNDER_LOCKS = 200_000
"""Messages with new ids that are counted once more under the locks, which takes 0.2 s; of more it is known well enough."""

SLACK = 1000
"""Messages that may be stored between counting without locks and the first step: so many more ids are reserved then."""

SETTLE = 1.0
"""Seconds in which a proxy has stored, but for rare cases, what it had taken ids for."""

LONGEST_SETTLE = 10.0
"""Seconds for which ``settle`` waits at most, should the clock of a proxy be far ahead of ours."""


@dataclass(frozen=True, slots=True)
class MergeState:
    """How far a merge is."""

    kept: KeptIds
    new: NewIds
    """Before the first step, as counted without locks."""
    until: int = 0
    """The messages from this second on (unix seconds) are done."""
    end: int = 0
    """Their ids begin here."""
    renumbered: int = 0
    moved: int = 0
    """Messages that came from another relation; they are renumbered, too."""
    has_begun: bool = False
    is_done: bool = False
    """All messages are done."""
    is_finished: bool = False
    """So is ``finish``."""


class ConversationMerge:
    """The merge of the conversations ``source_ids`` into ``target_id``; without sources it only gives new ids."""

    def __init__(self, kind: ConversationKind, target_id: int, source_ids: Sequence[int], pair: Pair | None) -> None:
        """``pair``: the users of a one-to-one conversation; ``target_id`` must be the relation that is read, if there are sources."""
        self.kind = kind
        self.target_id = target_id
        self.source_ids = tuple(source_ids)
        self.pair = pair
        self._target = MessageRows(kind, target_id)
        self._sources = [MessageRows(kind, source_id) for source_id in source_ids]
        self._all = [self._target, *self._sources]
        self._relation_columns: list[str] = []

    @property
    def lock_name(self) -> str:
        """The named lock, and the lock row, of the conversation."""
        return self.kind.lock_name((0, self.target_id)) if self.pair is None else self.kind.lock_name(self.pair)

    def kept_ids(self, master: DBPool) -> KeptIds:
        """Find which messages keep their ids; takes no locks."""
        return kept_ids(master, self._target, self._sources)

    def preview(self, master: DBPool, unread: CachePool) -> tuple[KeptIds, NewIds, int]:
        """Return what a merge would do now: what is kept, the new ids, and how many messages would be moved; takes no locks."""
        kept = self.kept_ids(master)
        new = new_ids(master, self._target, self._sources, kept, self._counter(unread))
        return kept, new, sum(source.count(master) for source in self._sources)

    def plan(self, master: DBPool, unread: CachePool, kept: KeptIds, *, spare: int = 0) -> MergeState:
        """Return the state before the first step, with ``spare`` ids more than are needed now. Takes no locks, and has the counter of a
        group not look lost beside the new ids, so that unread numbers stay.

        Raises:
            CannotMergeError: the new ids do not fit into the protocol.
            StoreError: a backend failed.

        """
        new = new_ids(master, self._target, self._sources, kept, self._counter(unread))
        if new.until == NEVER:
            new = replace(new, end=new.end + spare)
        if self.kind is GROUP_CHAT and _checked(new).count:
            GroupCounterShift(master, unread).raise_for(self.target_id, new.end - 1)
        return MergeState(kept, _checked(new))

    def check(self, connection: DBConn) -> None:
        """Check in a transaction that the conversations are what they were.

        Raises:
            ChangedMeanwhileError, CannotMergeError, StoreError: as ``step``.

        """
        self._lock(connection)

    def settle(self, master: DBPool, unread: CachePool, state: MergeState) -> MergeState:
        """In a cluster with several writers, before the first step: have proxies take ids above the new ones, and wait until nothing is
        stored any more that has one from before, or that belongs to their last second. It is so at once if all ids that were taken are
        stored, and not just now. Takes no locks.

        Raises:
            ChangedMeanwhileError: plan again.
            StoreError: a backend failed.

        """
        new = state.new
        taken = self._raise_counter(master, unread, new.end - 1)
        if new.until == NEVER:
            deadline = time.monotonic() + LONGEST_SETTLE
            newest = self._newest(master, new.end)
            is_idle = newest[0] + 2 * SETTLE < time.time() and taken == self._target.largest_id(master, below=new.end)
            found = newest if is_idle else (-1, -1)
            while found != newest and time.monotonic() < deadline:
                time.sleep(min(LONGEST_SETTLE, max(SETTLE, newest[0] + SETTLE - time.time())))
                found, newest = newest, self._newest(master, new.end)
            if taken >= new.first:
                raise ChangedMeanwhileError("more messages were sent meanwhile than ids were kept for")
            new = replace(new, until=newest[0] + 1, largest_before=max(newest[1], taken))
        return replace(state, new=new, until=new.until, end=new.end, has_begun=True)

    def _newest(self, master: DBPool, below: int) -> tuple[int, int]:
        """Return the newest second and the largest msg_id of all messages whose id is smaller than ``below``."""
        seconds = [
            message.created
            for rows in self._all
            for message in islice((m for m in rows.walk(master, backwards=True, page=ROWS_AT_ONCE) if m.msg_id < below), 1)
        ]
        return max(seconds, default=-1), max(rows.largest_id(master, below=below) for rows in self._all)

    def order_second(self, connection: DBConn, second: int, backup: BackupRow) -> int:
        """Insert the messages of the target of one second again, in the order of their ids, which they keep; how many there are. One
        transaction, as that of a further ``step``.
        """
        if not connection.is_multi_writer:
            self._lock(connection)
        messages = self._target.since(connection, second, after=BEFORE_ALL, until=second + 1)
        by_id = {message.row_id: message.msg_id for message in sorted(messages, key=lambda message: message.msg_id)}
        if list(by_id) == sorted(by_id) or len(set(by_id.values())) < len(by_id):
            return 0
        self._move(connection, self._target, by_id, backup)
        return len(by_id)

    def step(self, connection: DBConn, state: MergeState, unread: CachePool, backup: BackupRow, size: int) -> MergeState:
        """Renumber the newest messages that are not done, about ``size``; the caller commits, and has begun a transaction with the lock
        row and under the named lock ``lock_name``. In a cluster with several writers it comes after ``settle`` and needs no locks: it
        touches nothing that a proxy writes. ``backup`` is called for each row before it is changed.

        Raises:
            ChangedMeanwhileError: plan again.
            CannotMergeError: it is not possible.
            StoreError: a backend failed.

        """
        is_alone = not connection.is_multi_writer
        if is_alone:
            self._lock(connection)
        if not state.has_begun:
            state = self._begin(connection, state, unread, counts=state.new.count <= COUNTED_UNDER_LOCKS)
        new = state.new
        since, is_last = self._next_second(connection, state, size)
        after = [state.kept.up_to] + [BEFORE_ALL] * len(self._sources)
        messages = in_order(
            [rows.since(connection, since, after=place, until=state.until) for rows, place in zip(self._all, after, strict=True)]
        )
        first = state.end - len(messages)
        if messages and (first <= new.largest_before or self._target.has_ids(connection, first, state.end - 1)):
            raise ChangedMeanwhileError("messages older than those that are done were stored")
        msg_ids: list[dict[int, int]] = [{} for _ in self._all]
        for msg_id, (index, message) in enumerate(messages, first):
            msg_ids[index][message.row_id] = msg_id
        for rows, of_these in zip(self._all, msg_ids, strict=True):  # in this order, which is that of the messages of one second
            self._move(connection, rows, of_these, backup)
        return replace(
            state,
            until=since,
            end=first,
            renumbered=state.renumbered + len(messages),
            moved=state.moved + sum(map(len, msg_ids[1:])),
            is_done=is_last,
            is_finished=is_last
            and is_alone
            and self.finish(connection, state, backup),  # a sender that waits for the lock cannot come between
        )

    def _begin(self, connection: DBConn, state: MergeState, unread: CachePool, *, counts: bool) -> MergeState:
        """Reserve the new ids under the locks; ``counts``: exactly as many as are needed."""
        new = state.new
        if counts:
            new = _checked(new_ids(connection, self._target, self._sources, state.kept, self._counter(unread)))
        elif new.until == NEVER:
            largest = largest_ids(connection, self._all)
            new = _checked(replace(new, largest_before=largest, end=above(largest, self._counter(unread)) + new.count + SLACK + 1))
        self._raise_counter(connection, unread, new.end - 1)
        return replace(state, new=new, until=new.until, end=new.end, has_begun=True)

    def _move(self, connection: DBConn, rows: MessageRows, msg_ids: dict[int, int], backup: BackupRow) -> None:
        for row in rows.read(connection, list(msg_ids)):
            msg_id = msg_ids[int(row["id"] or 0)]
            backup(rows.table, row, {"table": self._target.table, self.kind.id_column: self.target_id, "msgId": msg_id})
        rows.move(connection, self._target, msg_ids)

    def _next_second(self, connection: DBConn, state: MergeState, size: int) -> tuple[int, bool]:
        """Return the second down to which the next step goes, and whether it is the last one."""
        times: list[int] = []
        for rows in self._all:
            after = state.kept.up_to if rows is self._target else BEFORE_ALL
            newest = rows.walk(connection, after=after, until=state.until, backwards=True, page=size + 1)
            times += [message.created for message in islice(newest, size + 1)]
        times.sort(reverse=True)
        if len(times) <= size:
            return 0, True
        too_many = times[size]
        return (too_many + 1 if times[0] > too_many else too_many), False

    def _lock(self, connection: DBConn) -> None:
        """Lock what a proxy locks that stores in one of these conversations, and check that they are what they were."""
        if self.kind is GROUP_CHAT:
            if not connection.select(self.kind.lock_query([self.target_id])):
                raise CannotMergeError(f"the group {self.target_id} does not exist")
            return
        ids = sorted((self.target_id, *self.source_ids))
        among = ",".join(map(str, ids))
        rows = connection.select(
            f"select id,smallId,bigId,status from IMRelationShip force index (primary) where id in ({among}) order by id for update"
        )
        if [int(relate_id) for relate_id, _, _, _ in rows] != ids or {(int(s), int(b)) for _, s, b, _ in rows} != {self.pair}:
            raise ChangedMeanwhileError(f"the relations {among} are not there any more, or are of other users")
        if self.source_ids and (any(status != b"0" for _, _, _, status in rows) or self._relation_read(connection) != self.target_id):
            raise ChangedMeanwhileError(f"the relations {among} are not visible any more, or another one is read")

    def _relation_read(self, connection: DBConn) -> int | None:
        if self.pair is None:
            return None
        return RelationModel().find(connection, [self.pair]).get(self.pair)

    def finish(self, connection: DBConn, state: MergeState, backup: BackupRow) -> bool:
        """Hide the relations that have been emptied; False if a proxy has stored a message in one of them meanwhile, or one with an id
        from before the merge: then the merge has to begin again. A transaction with the lock row and under the named lock.
        """
        is_alone = not connection.is_multi_writer
        if is_alone and not self.source_ids:
            return True
        self._lock(connection)
        if not are_empty(connection, self._sources):
            return False
        if not is_alone and state.new.count and self._target.has_ids(connection, state.kept.up_to_id + 1, state.end - 1):
            return False
        if not self.source_ids:
            return True
        among, now = ",".join(map(str, self.source_ids)), int(time.time())
        columns = self._relation_columns = self._relation_columns or columns_of(connection, "IMRelationShip")
        for row in connection.select(f"select {','.join(f'`{column}`' for column in columns)} from IMRelationShip where id in ({among})"):
            backup("IMRelationShip", dict(zip(columns, row, strict=True)), {"table": "IMRelationShip", "status": 1, "updated": now})
        connection.execute(f"update IMRelationShip force index (primary) set status=1,updated={now} where id in ({among})")
        return True

    def _counter(self, unread: CachePool) -> int:
        reply: bytes | None = unread.execute([("MGET", self.kind.counter_key(self.target_id))])[0][0]
        return number(reply)

    def _raise_counter(self, database: DBPool | DBConn, unread: CachePool, last_id: int) -> int:
        """Raise the counter at least to the largest id that will be stored, and return what it was just before; 0: nothing of use."""
        key = self.kind.counter_key(self.target_id)
        last_id = max(last_id, self._target.largest_id(database))
        reply: bytes | None = unread.execute([("MGET", key)])[0][0]
        counter = number(reply)
        if counter >= LARGEST or (reply is not None and not reply.isdigit()):
            unread.execute([("SET", key, last_id)])  # proxies cannot use it either
            return 0
        if counter >= last_id:
            return counter
        by = last_id - counter
        return int(unread.execute([("INCRBY", key, by)])[0]) - by


def _checked(new: NewIds) -> NewIds:
    if not new.fit:
        raise CannotMergeError(f"the new msg_ids would end at {new.end - 1}, and the protocol ends at {LARGEST}")
    return new
