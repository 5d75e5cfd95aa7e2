"""MessageStatus: hides stored messages from clients, and shows them again. Any thread."""

from __future__ import annotations

import time
from typing import NamedTuple

from pymysql.constants import ER

from dbproxy.errors import DeadlockError, OutcomeUnknownError
from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.message_reader import VISIBLE, statuses_of
from dbproxy.models.session import SessionKey
from dbproxy.stores.mysql import DBConn, DBPool, lock_rows

MOST_FOUND = 100
"""Rows with one msg_id that are looked at."""


class FoundMessage(NamedTuple):
    """A row with the msg_id that was asked for, as it was before the change."""

    row_id: int
    status: int


class MessageStatus:
    """Writes the status of messages: 0 is sent to clients, anything else is not. All that the proxy says of a conversation follows from it
    (history, last message of a session), because it reads rows with status 0 only; ids and counters do not depend on it.
    """

    def __init__(self, master: DBPool) -> None:
        self._master = master

    def find(self, kind: ConversationKind, conversation_id: int, msg_id: int) -> list[FoundMessage]:
        """The messages with this msg_id: none, one, or several in a damaged conversation."""
        return self._master.read(lambda connection: _find(connection, kind, conversation_id, msg_id))

    def set(self, kind: ConversationKind, conversation_id: int, session: SessionKey, msg_id: int, status: int) -> list[FoundMessage]:
        """Set the status and ``updated`` of the message with this msg_id, unless there is none or several, or it is hidden or visible
        already; returns what ``find`` did before. ``session``: one that belongs to the conversation, whose lock it takes, as those
        who store messages do.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """
        found: list[FoundMessage] = []

        def change(connection: DBConn) -> None:
            lock = [*lock_rows(connection, (kind.lock_name(session),)), kind.lock_query((conversation_id,))]
            connection.script(["begin", *lock])
            found[:] = _find(connection, kind, conversation_id, msg_id)  # a read without locks: the lock of the conversation is enough
            if len(found) == 1 and (found[0].status == VISIBLE) != (status == VISIBLE):
                changed = connection.execute(
                    f"update {kind.table(conversation_id)} force index (primary) set status={status},updated={int(time.time())} "
                    f"where id={found[0].row_id}"
                )
                if not changed:  # a merge in a cluster with several writers, which takes no such lock, has moved it to another row
                    raise DeadlockError(ER.LOCK_DEADLOCK, "the message was moved meanwhile")
            connection.commit_script(())

        try:
            self._master.write(change)
        except OutcomeUnknownError:
            before = list(found)
            self._master.resolve_outcome(change)  # it is the same however often it is done
            return before
        return list(found)


def _find(connection: DBConn, kind: ConversationKind, conversation_id: int, msg_id: int) -> list[FoundMessage]:
    statuses = statuses_of(connection, kind, conversation_id)
    if not statuses:
        return []
    # One index is sorted by the status first: with msgId alone the server would read the whole conversation.
    rows = connection.select(
        f"select id,status from {kind.table(conversation_id)} force index ({kind.msg_id_index}) where {kind.id_column}={conversation_id} "
        f"and status in ({','.join(map(str, statuses))}) and msgId={msg_id} order by id limit {MOST_FOUND}"
    )
    return [FoundMessage(int(row_id), int(status)) for row_id, status in rows]
