"""MergeRun: merges one conversation, step by step, while proxies are running. One thread.

On one server each step holds the locks of the conversation; on a node of a cluster with several writers only the last one does. Why is in
``models/conversation_merge.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dbproxy.audit.backup import Backup
from dbproxy.audit.walk import PATIENCE, AuditBackends
from dbproxy.errors import DeadlockError
from dbproxy.models.conversation_merge import SLACK, ChangedMeanwhileError, ConversationMerge, MergeState
from dbproxy.models.merge_plan import KeptIds
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


@dataclass(slots=True)
class MergeFigures:
    """What all attempts together have done to a conversation; see ``MergeResult``."""

    moved: int = 0
    renumbered: int = 0
    kept: int | None = None
    """None: not known before all steps of an attempt are done."""
    first_id: int = 0
    last_id: int = 0
    hidden: tuple[int, ...] = ()

    def add(self, state: MergeState) -> None:
        """Add the ids that were given until the last step, and how many messages have kept theirs all the time."""
        first, last = ids_between(state.end, state.new.end)
        self.first_id = min(filter(None, (self.first_id, first)), default=0)
        self.last_id = max(self.last_id, last)
        self.kept = state.new.kept if self.kept is None else min(self.kept, state.new.kept)


def ids_between(first: int, end: int) -> tuple[int, int]:
    """Return the first and the last id of a range, 0 and 0 if it is empty."""
    return (first, end - 1) if end > first else (0, 0)


class MergeRun:
    """One merge that is carried out."""

    def __init__(
        self,
        backends: AuditBackends,
        merge: ConversationMerge,
        backup: Backup,
        figures: MergeFigures,
        on_step: Callable[[int, int], None],
    ) -> None:
        """``figures`` counts what is committed, should an error end it before; ``on_step`` is told how many messages are done, and of how
        many.
        """
        self._backends = backends
        self._master = backends.master
        self._unread = backends.caches.unread
        self._merge = merge
        self._backup = backup
        self._keep = partial(backup.add, merge.lock_name)
        self._figures = figures
        self._on_step = on_step
        self._is_cluster = self._master.read(_is_multi_writer)

    def run(self) -> None:
        """Merge the conversation to its end.

        Raises:
            ChangedMeanwhileError: plan again.
            CannotMergeError: it is not possible.
            DeadlockError: others at work ended each attempt.
            StoreError, BackupError: a backend failed, or the backup cannot be written.

        """
        for _ in range(ATTEMPTS):
            state = self._renumber()
            if self._is_cluster:
                self._order_seconds()  # messages of proxies may have come between those of one second
            if state.is_finished or self._transaction(
                lambda connection, _, state=state: self._merge.finish(connection, state, self._keep)  # type: ignore[misc]
            ):
                self._figures.hidden = self._merge.source_ids
                return
        raise ChangedMeanwhileError("messages were stored meanwhile that belong among those that were merged")

    def _renumber(self) -> MergeState:
        """Plan, and do all steps."""
        kept = self._order_seconds()
        state = self._merge.plan(self._master, self._unread, kept, spare=SLACK if self._is_cluster else 0)
        if self._is_cluster:
            self._transaction(lambda connection, _: self._merge.check(connection), locks=False)
            state = self._merge.settle(self._master, self._unread, state)
        while not state.is_done:
            before = state
            state = self._transaction(
                lambda connection, size: self._merge.step(connection, before, self._unread, self._keep, size),  # noqa: B023 - called at once
                locks=not self._is_cluster,
                size=STEP,
            )
            self._figures.moved += state.moved - before.moved
            self._figures.renumbered += state.renumbered - before.renumbered
            self._on_step(state.renumbered, state.new.count)
            if not state.is_done:
                time.sleep(PAUSE)
        self._figures.add(state)
        return state

    def _order_seconds(self) -> KeptIds:
        """Have the rows of the messages that keep their ids in the order of these, and return which do."""
        kept = self._merge.kept_ids(self._master)
        for second in kept.seconds:
            self._transaction(
                lambda connection, _, second=second: self._merge.order_second(connection, second, self._keep),  # type: ignore[misc]
                locks=not self._is_cluster,
            )
        return self._merge.kept_ids(self._master) if kept.seconds else kept  # up to another row

    def _transaction(self, work: Callable[[DBConn, int], Done], *, locks: bool = True, size: int = 1) -> Done:
        """Call ``work`` with a connection in a transaction, under the locks of the conversation, and the size of the step, and commit. A
        step that others end is smaller the next time; one of size 1 begins again for ``PATIENCE`` seconds.
        """

        def attempt(connection: DBConn) -> Done:
            done = work(connection, size)
            self._backup.sync()
            return done

        while True:
            patience = PATIENCE if size == 1 else 0
            try:
                if locks:
                    return self._backends.with_locks(attempt, self._merge.lock_name, patience=patience)
                return self._backends.without_locks(attempt, patience=patience)
            except DeadlockError:
                if size == 1:
                    raise
                size = max(1, size // SMALLER)


def _is_multi_writer(connection: DBConn) -> bool:
    connection.select("select 1")  # the first statement may connect to another server
    return connection.is_multi_writer
