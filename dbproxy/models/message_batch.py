"""MessageBatch: the messages of one transaction of ``MessageStore``. It belongs to the thread that stores them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dbproxy.errors import DbproxyError
from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.msg_ids import MsgIds
from dbproxy.models.new_message import NewMessage
from dbproxy.stores.mysql.server_connection_id import NO_SESSION, ServerConnectionId


class RetryTransactionError(DbproxyError):
    """The transaction has to begin again, because cached ids were wrong or it needs the named locks ``lock_names``."""

    def __init__(self, lock_names: Iterable[str] = ()) -> None:
        super().__init__()
        self.lock_names = frozenset(lock_names)


@dataclass(slots=True)
class MessageBatch:
    """The messages of one transaction, and the state that its attempts share."""

    messages: Sequence[NewMessage]
    msg_ids: MsgIds
    lock_names: frozenset[str] = frozenset()
    """Named locks that the next attempt holds."""
    now: int = 0
    """Unix seconds at which the current attempt began."""
    server_connection_id: ServerConnectionId = NO_SESSION
    """The connection that carries the current attempt."""
    is_multi_writer: bool = False
    """Whether that one leads to a cluster with several writers."""

    def require(self, lock_names: Iterable[str]) -> None:
        """Raise RetryTransactionError unless these named locks are held."""
        missing = frozenset(lock_names) - self.lock_names
        if missing:
            raise RetryTransactionError(missing)

    def conversation_names(self, kind: ConversationKind) -> Iterator[str]:
        """Yield the names of the lock rows of all conversations, some of them several times: they guard msg_ids, relations and sessions.
        It costs nothing if nobody needs them, which is so outside of clusters.
        """
        return (kind.lock_name(session) for message in self.messages for session in kind.session_keys(message)[:1])
