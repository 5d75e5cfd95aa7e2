"""Merging what the C++ daemon has split: conversations with several relations, and msg_ids given twice. One thread.

What is done to a conversation, and why that way, is in ``models/conversation_merge.py`` and ``models/merge_plan.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from dbproxy.audit.backup import Backup
from dbproxy.audit.finding import listed
from dbproxy.audit.merge_run import ATTEMPTS, MergeFigures, MergeRun, ids_between
from dbproxy.audit.messages import GroupMessages, MessageCheck, Messages
from dbproxy.audit.relations import DuplicateRelations, used_and_empty, visible_relations
from dbproxy.audit.walk import PATIENCE, AuditBackends
from dbproxy.errors import DeadlockError
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT
from dbproxy.models.conversation_merge import CannotMergeError, ChangedMeanwhileError, ConversationMerge
from dbproxy.models.relation import Pair


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
        figures, reason = MergeFigures(), ""
        try:
            for _ in range(ATTEMPTS):
                merge = create()
                if merge is None:
                    return _result(where, figures)
                if self._backup is None:
                    return self._preview(where, merge)
                try:
                    MergeRun(self._backends, merge, self._backup, figures, partial(self._progress, where)).run()
                except ChangedMeanwhileError as error:
                    reason = str(error)
                else:
                    return _result(where, figures)
        except CannotMergeError as error:
            return _result(where, figures, str(error))
        except DeadlockError as error:
            return _result(where, figures, _given_up(error))
        return _result(where, figures, f"given up after {ATTEMPTS} attempts: {reason}")

    def _preview(self, where: str, merge: ConversationMerge) -> MergeResult:
        _, new, moved = merge.preview(self._backends.master, self._unread)
        if not new.fit:
            return MergeResult(where, error=f"the new msg_ids would end at {new.end - 1}, which the protocol cannot say")
        return MergeResult(where, moved, new.count, new.kept, *ids_between(new.first, new.end), merge.source_ids)


def _given_up(error: DeadlockError) -> str:
    return f"given up after {PATIENCE:g} s, in which others at work ended each attempt: {error}"


def _result(where: str, figures: MergeFigures, error: str = "") -> MergeResult:
    kept = figures.kept or 0
    return MergeResult(where, figures.moved, figures.renumbered, kept, figures.first_id, figures.last_id, figures.hidden, error)
