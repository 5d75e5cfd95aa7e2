"""Merging what the C++ daemon has split: conversations with several relations, and msg_ids given twice. One thread.

What is done to a conversation, and why that way, is in ``models/conversation_merge.py`` and ``models/merge_plan.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dbproxy.audit.backup import Backup
from dbproxy.audit.finding import listed
from dbproxy.audit.messages import GroupMessages, MessageCheck, Messages
from dbproxy.audit.relations import DuplicateRelations, used_and_empty, visible_relations
from dbproxy.audit.walk import PATIENCE, AuditBackends
from dbproxy.errors import DeadlockError
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT
from dbproxy.models.conversation_merge import SLACK, CannotMergeError, ChangedMeanwhileError, ConversationMerge, MergeState
from dbproxy.models.merge_plan import KeptIds
from dbproxy.models.relation import Pair
from dbproxy.stores.mysql import DBConn

Done = TypeVar("Done")

ATTEMPTS = 10
"""How often the merge of a conversation begins again because something has changed meanwhile."""

STEP = 500
"""Messages that one transaction moves, approximately: all messages of a second are moved together."""

SMALLER = 4
"""The part of its messages with which a step begins again that others have ended."""

PAUSE = 0.02
"""Seconds between two steps, in which those get a lock who wait for it."""


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What was done to a conversation, or would be. The numbers are those of messages."""

    where: str
    moved: int = 0
    """From other relations."""
    renumbered: int = 0
    """Those that got a new msg_id, the moved ones included."""
    kept: int = 0
    """Those that keep the msg_id by which they could be read."""
    first_id: int = 0
    last_id: int = 0
    """The new msg_ids; 0: none."""
    hidden: tuple[int, ...] = ()
    """Relations that were emptied and hidden."""
    error: str = ""
    """Why it was not merged."""


Progress = Callable[[str, int, int], None]
"""Is told after each step: which conversation, how many messages are done, and how many there are."""


class Merger:
    """Finds what is to be merged, and merges it."""

    def __init__(self, backends: AuditBackends, backup: Backup | None = None, progress: Progress = lambda _where, _done, _of: None) -> None:
        """Without ``backup`` it only finds out what it would do."""
        self._backends = backends
        self._backup = backup
        self._progress = progress
        self._unread = backends.caches.unread
        self._relations = DuplicateRelations(backends)

    def run(self) -> Iterator[MergeResult]:
        """Merge one conversation after the other, and yield what was done to each.

        Raises:
            StoreError: a backend failed. It may be started again.
            BackupError: the backup cannot be written. The same.

        """
        split: set[int] = set()
        for pair in self._relations.pairs():
            result = self._split(pair, split)
            if result is not None:
                yield result
        for check in (Messages(self._backends), GroupMessages(self._backends)):
            for conversation_id in check.with_ids_twice():
                if check.kind is GROUP_CHAT or conversation_id not in split:  # a preview has not merged those
                    yield self._twice(check, conversation_id)

    def _split(self, pair: Pair, split: set[int]) -> MergeResult | None:
        ids = visible_relations(self._backends.master, pair)
        used, _ = used_and_empty(self._backends.master, ids)
        if len(used) < 2:
            return None if self._backup is None else self._hide_empty(pair)
        split.update(used)
        where = f"users {pair[0]} and {pair[1]}, relations {listed(used)}"

        def merge() -> ConversationMerge | None:
            if self._backup is not None:
                self._relations.hide_empty(pair)
            now, _ = used_and_empty(self._backends.master, visible_relations(self._backends.master, pair))
            return ConversationMerge(SINGLE_CHAT, now[0], now[1:], pair) if len(now) > 1 else None

        return self._merge(where, merge)

    def _hide_empty(self, pair: Pair) -> MergeResult | None:
        """Hide what a merge has emptied that was interrupted before its last step; a result only if that fails."""
        try:
            self._relations.hide_empty(pair)
        except DeadlockError as error:
            return MergeResult(f"users {pair[0]} and {pair[1]}", error=_given_up(error))
        return None

    def _twice(self, check: MessageCheck, conversation_id: int) -> MergeResult:
        where = f"{check.called} {conversation_id}"

        def merge() -> ConversationMerge | None:
            pair = None if check.kind is GROUP_CHAT else self._pair(conversation_id)
            return ConversationMerge(check.kind, conversation_id, (), pair)

        return self._merge(where, merge)

    def _pair(self, relate_id: int) -> Pair:
        rows = self._backends.master.select(f"select smallId,bigId from IMRelationShip where id={relate_id}")
        if not rows:
            raise CannotMergeError("the relation does not exist: see what dbproxy-audit --repair says")
        return int(rows[0][0]), int(rows[0][1])

    def _merge(self, where: str, create: Callable[[], ConversationMerge | None]) -> MergeResult:
        """Merge what ``create`` returns, which is called again if it has to begin again."""
        tally, reason = _Tally(), ""
        try:
            for _ in range(ATTEMPTS):
                merge = create()
                if merge is None:
                    return tally.result(where)
                if self._backup is None:
                    return self._preview(where, merge)
                try:
                    self._apply(where, merge, self._backup, tally)
                except ChangedMeanwhileError as error:
                    reason = str(error)
                else:
                    return tally.result(where)
        except CannotMergeError as error:
            return tally.result(where, str(error))
        except DeadlockError as error:
            return tally.result(where, _given_up(error))
        return tally.result(where, f"given up after {ATTEMPTS} attempts: {reason}")

    def _preview(self, where: str, merge: ConversationMerge) -> MergeResult:
        _, new, moved = merge.preview(self._backends.master, self._unread)
        if not new.fit:
            return MergeResult(where, error=f"the new msg_ids would end at {new.end - 1}, which the protocol cannot say")
        return MergeResult(where, moved, new.count, new.kept, *_ids(new.first, new.end), merge.source_ids)

    def _apply(self, where: str, merge: ConversationMerge, backup: Backup, tally: _Tally) -> None:
        """Merge a conversation to its end; ``tally`` counts what is committed, should an error end it before."""
        is_cluster = self._backends.master.read(_is_multi_writer)
        keep = partial(backup.add, merge.lock_name)
        for _ in range(ATTEMPTS):
            state = self._renumber(where, merge, backup, tally, is_cluster=is_cluster)
            if is_cluster:
                self._order_seconds(merge, backup, locks=False)  # messages of proxies may have come between those of one second
            last = state
            if state.is_finished or self._transaction(
                merge,
                backup,
                lambda connection, _: merge.finish(connection, last, keep),  # noqa: B023 - called at once
                size=1,
            ):
                tally.hidden = merge.source_ids
                return
        raise ChangedMeanwhileError("messages were stored meanwhile that belong among those that were merged")

    def _renumber(self, where: str, merge: ConversationMerge, backup: Backup, tally: _Tally, *, is_cluster: bool) -> MergeState:
        keep = partial(backup.add, merge.lock_name)
        kept = self._order_seconds(merge, backup, locks=not is_cluster)
        state = merge.plan(self._backends.master, self._unread, kept, spare=SLACK if is_cluster else 0)
        if is_cluster:
            self._transaction(merge, backup, lambda connection, _: merge.check(connection), locks=False, size=1)
            state = merge.settle(self._backends.master, self._unread, state)
        while not state.is_done:
            before = state
            state = self._transaction(
                merge,
                backup,
                lambda connection, size: merge.step(connection, before, self._unread, keep, size),  # noqa: B023 - called at once
                locks=not is_cluster,
            )
            tally.moved += state.moved - before.moved
            tally.renumbered += state.renumbered - before.renumbered
            self._progress(where, state.renumbered, state.new.count)
            if not state.is_done:
                time.sleep(PAUSE)
        tally.add(state)
        return state

    def _order_seconds(self, merge: ConversationMerge, backup: Backup, *, locks: bool) -> KeptIds:
        """Have the rows of the messages that keep their ids in the order of these, and return which do."""
        keep = partial(backup.add, merge.lock_name)
        kept = merge.kept_ids(self._backends.master)
        for second in kept.seconds:
            self._transaction(
                merge,
                backup,
                lambda connection, _, second=second: merge.order_second(connection, second, keep),  # type: ignore[misc]
                locks=locks,
            )
        return merge.kept_ids(self._backends.master) if kept.seconds else kept  # up to another row

    def _transaction(
        self, merge: ConversationMerge, backup: Backup, work: Callable[[DBConn, int], Done], *, locks: bool = True, size: int = STEP
    ) -> Done:
        """Call ``work`` with a connection in a transaction, under the locks of the conversation, and the size of the step, and commit. A
        step that others end is smaller the next time.
        """

        def attempt(connection: DBConn) -> Done:
            done = work(connection, size)
            backup.sync()
            return done

        while True:
            patience = PATIENCE if size == 1 else 0
            try:
                if locks:
                    return self._backends.with_locks(attempt, merge.lock_name, patience=patience)
                return self._backends.without_locks(attempt, patience=patience)
            except DeadlockError:
                if size == 1:
                    raise
                size = max(1, size // SMALLER)


def _given_up(error: DeadlockError) -> str:
    return f"given up after {PATIENCE:g} s, in which others at work ended each attempt: {error}"


def _is_multi_writer(connection: DBConn) -> bool:
    connection.select("select 1")  # the first statement may connect to another server
    return connection.is_multi_writer


@dataclass(slots=True)
class _Tally:
    """What all attempts together have done to a conversation."""

    moved: int = 0
    renumbered: int = 0
    kept: int | None = None
    ids: tuple[int, int] = (0, 0)
    hidden: tuple[int, ...] = ()

    def add(self, state: MergeState) -> None:
        """Add the ids that were given until the last step, and how many messages have kept theirs all the time."""
        first, last = _ids(state.end, state.new.end)
        self.ids = (min(filter(None, (self.ids[0], first)), default=0), max(self.ids[1], last))
        self.kept = state.new.kept if self.kept is None else min(self.kept, state.new.kept)

    def result(self, where: str, error: str = "") -> MergeResult:
        """Return the result, given why it is not complete."""
        return MergeResult(where, self.moved, self.renumbered, self.kept or 0, *self.ids, self.hidden, error)


def _ids(first: int, end: int) -> tuple[int, int]:
    return (first, end - 1) if end > first else (0, 0)
