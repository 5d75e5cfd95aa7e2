"""The names of all table shards and Redis keys, and queries over several shards. Pure functions, any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dbproxy.stores.mysql.schema import SHARDS


def message_table(relate_id: int) -> str:
    """Table of the messages of a one-to-one conversation."""
    return f"IMMessage_{relate_id % SHARDS}"


def group_message_table(group_id: int) -> str:
    """Table of the messages of a group."""
    return f"IMGroupMessage_{group_id % SHARDS}"


def each_in_its_table(conversation_ids: Sequence[int], subquery: Callable[[int], str]) -> str:
    """The query for one value of each conversation, read from the table of its shard: rows of (conversation id, value or NULL).

    ``subquery`` returns, for a shard, the subquery for the value of conversation ``c.id``. A query for each table would cost the server
    several times as much, because preparing a statement costs more than one step in an index.
    """
    first, *others = conversation_ids
    source = f"(select {first} as id{''.join(f' union all select {other}' for other in others)})"
    return f"select c.id,{by_shard(conversation_ids, subquery)} from {source} c"


def by_shard(conversation_ids: Iterable[int], subquery: Callable[[int], str]) -> str:
    """The expression for the value of ``subquery`` of conversation ``c.id``; see ``each_in_its_table``."""
    shards = sorted({conversation_id % SHARDS for conversation_id in conversation_ids})
    return f"case c.id%{SHARDS} {' '.join(f'when {shard} then ({subquery(shard)})' for shard in shards)} end"


# pool "unread"


def msg_id_key(relate_id: int) -> str:
    """String: the last msg_id of a one-to-one conversation."""
    return f"msg_id_{relate_id}"


def group_msg_id_key(group_id: int) -> str:
    """String: the last msg_id of a group."""
    return f"group_msg_id_{group_id}"


def unread_key(user_id: int) -> str:
    """Hash: sender id → how many messages from them this user has not read."""
    return f"unread_{user_id}"


COUNT_FIELD = "count"
"""The field of the two group counters."""

READ_BY_ALL_FIELD = "read_by_all"
"""Additional field of ``group_count_key`` after a loss: this many messages count as read by all members."""


def group_count_key(group_id: int) -> str:
    """Hash with the field ``count``: messages ever sent to the group; and perhaps ``read_by_all``."""
    return f"{group_id}_im_group_msg"


def user_group_count_key(user_id: int, group_id: int) -> str:
    """Hash with the field ``count``: a copy of the group's count, taken when this user last wrote or read."""
    return f"{user_id}_{group_id}_im_user_group"


TOTAL_USER_UPDATE_KEY = "total_user_update"
"""String: unix time of the last change of any user's data."""

LAST_UPDATE_GROUP_KEY = "last_update_group"
"""String: unix time at which the last complete run of the group session sync began; written at its end."""

GROUP_SYNC_OWNER_KEY = "last_update_group_owner"
"""String: a token of the process that does the group session sync; it expires when that does not renew it."""

# pool "group_member"


def group_member_key(group_id: int) -> str:
    """Hash: user id → unix time at which they joined; a group exists when this key does."""
    return f"group_member_{group_id}"


def staged_members_key(group_id: int, token: str | None = None) -> str:
    """Set: the tokens of the member hashes that are being written; with ``token`` that hash. Only in clusters with several writers."""
    listed = f"group_member_staged_{{{group_member_key(group_id)}}}"
    return listed if token is None else f"{listed}_{token}"


# pool "group_set"


def group_set_key(group_id: int) -> str:
    """Hash: see ``shield_field``."""
    return f"group_set_{group_id}"


def shield_field(user_id: int) -> str:
    """Field of ``group_set_key``: 1 when this user muted the group."""
    return f"{user_id}_1"


# pool "token"


def device_key(owner: bytes) -> bytes:
    """String: of a user id, ``ios:TOKEN``, ``android:TOKEN`` or TOKEN; of a token, the user id that has it."""
    return b"device_" + owner
