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
from dbproxy.audit.walk import AuditBackends
from dbproxy.errors import LockWaitError
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT
from dbproxy.models.conversation_merge import CannotMergeError, ChangedMeanwhileError, ConversationMerge, MergeState
from dbproxy.models.relation import Pair
from dbproxy.stores.mysql import DBConn

Done = TypeVar("Done")

ATTEMPTS = 10
"""How often the merge of a conversation begins again, because something has changed meanwhile or a lock was not free."""

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
            return None
        split.update(used)
        where = f"users {pair[0]} and {pair[1]}, relations {listed(used)}"

        def merge() -> ConversationMerge | None:
            if self._backup is not None:
                self._relations.hide_empty(pair)
            now, _ = used_and_empty(self._backends.master, visible_relations(self._backends.master, pair))
            return ConversationMerge(SINGLE_CHAT, now[0], now[1:], pair) if len(now) > 1 else None

        return self._merge(where, merge)

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
                    state = self._apply(where, merge, self._backup, tally)
                except (ChangedMeanwhileError, LockWaitError) as error:
                    reason = str(error)
                    continue
                tally.add(state, merge.source_ids)
                if not state.is_rest:
                    return tally.result(where)
                reason = "messages were stored in the other relations meanwhile"
        except CannotMergeError as error:
            return tally.result(where, str(error))
        return tally.result(where, f"given up after {ATTEMPTS} attempts: {reason}")

    def _preview(self, where: str, merge: ConversationMerge) -> MergeResult:
        _, new, moved = merge.preview(self._backends.master, self._unread)
        if not new.fit:
            return MergeResult(where, error=f"the new msg_ids would end at {new.end - 1}, which the protocol cannot say")
        return MergeResult(where, moved, new.count, new.kept, *_ids(new.first, new.end), merge.source_ids)

    def _apply(self, where: str, merge: ConversationMerge, backup: Backup, tally: _Tally) -> MergeState:
        """Merge a conversation to its end; ``tally`` counts what is committed, should an error end it before."""

        def locked(work: Callable[[DBConn], Done]) -> Done:
            def transaction(connection: DBConn) -> Done:
                done = work(connection)
                backup.sync()
                return done

            return self._backends.with_locks(transaction, merge.lock_name)

        keep = partial(backup.add, merge.lock_name)
        kept = merge.kept_ids(self._backends.master)
        if kept.seconds:
            for second in kept.seconds:
                locked(partial(merge.order_second, second=second, backup=keep))
            kept = merge.kept_ids(self._backends.master)  # up to another row
        merge.prepare(self._backends.master, self._unread, kept)
        state = MergeState(kept)
        while not state.done:
            before, state = state, locked(partial(merge.step, state=state, unread=self._unread, backup=keep))
            tally.moved += state.moved - before.moved
            tally.renumbered += state.renumbered - before.renumbered
            self._progress(where, state.renumbered, 0 if state.new is None else state.new.count)
            if not state.done:
                time.sleep(PAUSE)
        return state


@dataclass(slots=True)
class _Tally:
    """What all attempts together have done to a conversation."""

    moved: int = 0
    renumbered: int = 0
    kept: int = 0
    ids: tuple[int, int] = (0, 0)
    hidden: tuple[int, ...] = ()

    def add(self, state: MergeState, source_ids: tuple[int, ...]) -> None:
        """Note what is known at the end of an attempt."""
        if state.new is not None:
            self.kept, self.ids = state.new.kept, _ids(state.end, state.new.end)
        self.hidden = () if state.is_rest else source_ids

    def result(self, where: str, error: str = "") -> MergeResult:
        """Return the result, given why it is not complete."""
        return MergeResult(where, self.moved, self.renumbered, self.kept, *self.ids, self.hidden, error)


def _ids(first: int, end: int) -> tuple[int, int]:
    return (first, end - 1) if end > first else (0, 0)
