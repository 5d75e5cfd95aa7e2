"""Where messages wait: the queues of messages to be stored, and which of them a message belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dbproxy.models.history import GROUP_TYPES, SOUNDS
from dbproxy.models.relation import RelationModel, pair_of
from dbproxy.wire.pb import message_pb2
from dbproxy.work.handler_map import Routing
from dbproxy.work.queue_settings import QueueSettings

AUDIO = "audio"
"""Queue of everything that waits for the file server."""

_MESSAGES = ("messages 0", "messages 1")
_GROUP_MESSAGES = ("group messages 0", "group messages 1")


class MessageQueues:
    """Routes messages by their conversation. Reactor thread only; nothing here blocks."""

    def __init__(self, relations: RelationModel, others_write: Callable[[], bool], others_write_to_groups: Callable[[], bool]) -> None:
        """The last two say whether other proxies seem to store messages between users, and to groups, too; any thread asks them."""
        self._relations = relations
        self.settings: Mapping[str, QueueSettings] = {
            AUDIO: QueueSettings(external=True),
            **{
                name: QueueSettings(parallel=1, sibling=sibling, together=together)
                for names, together in ((_MESSAGES, others_write), (_GROUP_MESSAGES, others_write_to_groups))
                for name, sibling in (names, reversed(names))
            },
        }
        """The queues of messages, a transaction at a time each. Two of a kind, one for the even tables and one for the odd, so that two
        transactions never insert into the same table: their row ids would be mixed, and nothing would be known of the largest msg_ids
        (LastIds). That is lost while other proxies write to these tables, and MariaDB is busy with their transactions. Then what counts is
        that batches are long, and both queues share them.
        """

    def route(self, request: message_pb2.IMMsgData) -> Routing:
        """The messages of a conversation keep their order, and those with sounds do not hold up others. What is not known yet of a
        conversation (its relate_id, and so its table) puts it among the even ones.
        """
        key: tuple[int, ...]
        if request.msg_type in GROUP_TYPES:
            names, key = _GROUP_MESSAGES, (request.to_session_id,)
            conversation_id: int | None = request.to_session_id
        else:
            names, key = _MESSAGES, pair_of(request.from_user_id, request.to_session_id)
            conversation_id = self._relations.cached_id(key)
        if request.msg_type in SOUNDS:
            return Routing(AUDIO, key)
        return Routing(names[(conversation_id or 0) % len(names)], key)
