"""ConversationKind: in what conversations between two users and in groups differ in the database and in Redis. Pure, any thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial

from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.new_message import NewMessage
from dbproxy.models.relation import RelationModel, pair_of
from dbproxy.models.session import GROUP, SINGLE, SessionKey
from dbproxy.stores.mysql import schema


@dataclass(frozen=True, slots=True)
class ConversationKind:
    """The tables, keys and statements of one kind. A conversation id is a relate_id or a group id."""

    session_type: int
    """SessionType of the protocol, as in IMRecentSession."""
    table: Callable[[int], str]
    """Conversation id → table of its messages."""
    id_column: str
    """Column of the message tables with the conversation id."""
    sender_column: str
    receiver_column: str | None
    """Column with the id of the receiver, if the tables have one."""
    time_index: str
    """Index of the message tables for newest-first reads."""
    msg_id_index: str
    """Index of the message tables for the largest msg_id."""
    msg_id_index_has_status_first: bool
    """Whether ``msg_id_index`` is sorted by status before msg_id, so that it finds the largest msg_id of one status only."""
    counter_key: Callable[[int], str]
    """Conversation id → Redis key of its last msg_id."""
    ordering_key: Callable[[NewMessage], Hashable]
    """Identifies the conversation of a message, also before it has an id."""
    session_keys: Callable[[NewMessage], tuple[SessionKey, ...]]
    """The sessions that a message makes visible and moves to the top."""
    lock_name: Callable[[SessionKey], str]
    """Session → named lock under which its row is added."""
    lock_query: Callable[[Iterable[int]], str]
    """Conversation ids → query that locks the row of each."""
    touch_statement: Callable[[Iterable[int], int], str] | None
    """Conversation ids and unix seconds → statement that notes the time of their last message, if it is kept."""


def _group_lock_query(group_ids: Iterable[int]) -> str:
    among = ",".join(map(str, sorted(group_ids)))
    return f"select id from IMGroup force index (primary) where id in ({among}) order by id for update"


def _touch_groups(group_ids: Iterable[int], now: int) -> str:
    among = ",".join(map(str, sorted(group_ids)))
    return f"update IMGroup force index (primary) set lastChated={now} where id in ({among})"


SINGLE_CHAT = ConversationKind(
    session_type=SINGLE,
    table=names.message_table,
    id_column="relateId",
    sender_column="fromId",
    receiver_column="toId",
    time_index=schema.MESSAGE_BY_TIME,
    msg_id_index=schema.MESSAGE_BY_ID,
    msg_id_index_has_status_first=True,
    counter_key=names.msg_id_key,
    ordering_key=lambda message: pair_of(message.from_id, message.to_id),
    session_keys=lambda message: ((message.from_id, message.to_id), (message.to_id, message.from_id)),
    lock_name=lambda session: RelationModel.lock_name(pair_of(*session)),
    lock_query=partial(RelationModel.confirm_query, lock=True),
    touch_statement=None,
)
"""Messages between two users: IMMessage_0..7 by relate_id."""

GROUP_CHAT = ConversationKind(
    session_type=GROUP,
    table=names.group_message_table,
    id_column="groupId",
    sender_column="userId",
    receiver_column=None,
    time_index=schema.GROUP_MESSAGE_BY_TIME,
    msg_id_index=schema.GROUP_MESSAGE_BY_ID,
    msg_id_index_has_status_first=False,
    counter_key=names.group_msg_id_key,
    ordering_key=lambda message: message.to_id,
    session_keys=lambda message: ((message.from_id, message.to_id),),
    lock_name=lambda session: GroupMembers.lock_name(session[1]),
    lock_query=_group_lock_query,
    touch_statement=_touch_groups,
)
"""Messages to groups: IMGroupMessage_0..7 by group id. Only the sender's session is touched; SyncCenter does it for the other members."""
