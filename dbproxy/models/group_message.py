"""GroupMessage: group messages, their history and their unread counters. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.draft import Draft
from dbproxy.models.group_counter_recovery import GroupCounterRecovery, looks_lost
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.history import (
    HISTORY_COLUMNS,
    MAX_BY_ID,
    MAX_LIST,
    StoredMessage,
    ids_to_look_up,
    read_history,
    union,
)
from dbproxy.models.last_ids import LastIds
from dbproxy.models.message_store import Attempt, MessageStore, Opened
from dbproxy.models.session import GROUP, SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, schema
from dbproxy.stores.redis import LARGEST, BrokenKey, CacheCommand, CachePool, number

logger = logging.getLogger(__name__)


class GroupMessageModel(MessageStore):
    """IMGroupMessage_0..7 by group id, and the group counters.

    Unread is a difference of two counters, the group's and the user's copy of it, so that a message to a group of 5,000 costs one
    increment; see group_counter_recovery.py for what that means when Redis loses them.
    """

    session_type = GROUP

    def __init__(
        self,
        master: DBPool,
        slave: DBPool,
        unread: CachePool,
        members: GroupMembers,
        sessions: SessionModel,
        content_limit: int,
        lock_timeout: float,
        outcome_timeout: float,
    ) -> None:
        last_ids = LastIds("groupId", names.group_message_table, schema.GROUP_MESSAGE_BY_ID, by_status=False)
        super().__init__(master, unread, sessions, last_ids, content_limit, lock_timeout, outcome_timeout)
        self._slave = slave
        self._members = members
        self._counter_recovery = GroupCounterRecovery(master, unread)

    # history

    def history(self, wanted: Sequence[tuple[int, int, int, int]]) -> list[list[StoredMessage]]:
        """For each (user id, group id, msg_id_begin, msg_cnt): the messages from msg_id_begin (0: the newest) downwards, newest first,
        none from before the user joined.
        """
        queries: dict[int, str] = {}
        joined = self._members.join_times([(group_id, user_id) for user_id, group_id, _, _ in wanted])
        for index, ((_, group_id, begin, count), since) in enumerate(zip(wanted, joined, strict=True)):
            if since is not None:
                below = f" and msgId<={begin}" if begin else ""
                queries[index] = (
                    f"force index ({schema.GROUP_MESSAGE_BY_TIME}) where groupId={group_id} and status=0{below} and created>={since} "
                    f"order by created desc,id desc limit {min(count, MAX_LIST)}"
                )
        return self._history([group_id for _, group_id, _, _ in wanted], queries)

    def by_id(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[list[StoredMessage]]:
        """For each (user id, group id, msg_ids): those messages, newest first, at most 100, none from before the user joined."""
        queries: dict[int, str] = {}
        joined = self._members.join_times([(group_id, user_id) for user_id, group_id, _ in wanted])
        for index, ((_, group_id, msg_ids), since) in enumerate(zip(wanted, joined, strict=True)):
            if since is not None and msg_ids:
                among = ids_to_look_up(msg_ids)
                queries[index] = (
                    f"where groupId={group_id} and status=0 and created>={since} and msgId in ({among}) "
                    f"order by created desc,id desc limit {MAX_BY_ID}"
                )
        return self._history([group_id for _, group_id, _ in wanted], queries)

    def _history(self, group_ids: Sequence[int], queries: Mapping[int, str]) -> list[list[StoredMessage]]:
        if not queries:
            return [[] for _ in group_ids]
        texts = [
            f"(select {HISTORY_COLUMNS.format(index=index, sender='userId')} from {names.group_message_table(group_ids[index])} {query})"
            for index, query in queries.items()
        ]
        return read_history(self._slave.read(lambda connection: connection.script(union(texts))), len(group_ids))

    # unread counters

    def clear_unread(self, memberships: Sequence[tuple[int, int]]) -> None:
        """For each (user id, group id): nothing of the group is unread for the user; a group without a counter leaves nothing."""
        group_ids = list(dict.fromkeys(group_id for _, group_id in memberships))
        counts = self._counts(group_ids)
        self._copy({membership: count for membership in memberships if (count := counts[membership[1]]) is not None})

    def _counts(self, group_ids: Sequence[int]) -> dict[int, int | None]:
        """The counters of groups, None of those that have none."""
        replies = self._unread.read([("HGET", names.group_count_key(group_id), names.COUNT_FIELD) for group_id in group_ids])
        return {group_id: None if reply is None else number(reply) for group_id, reply in zip(group_ids, replies, strict=True)}

    def _copy(self, copies: Mapping[tuple[int, int], int]) -> None:
        """Write users' copies. Nothing orders those who write the same one at the same time (two acks on two connections); so whoever
        finds that they have replaced a later copy puts it back, or what was read would be unread again.
        """
        commands: list[CacheCommand] = []
        for membership, copy in copies.items():
            key = names.user_group_count_key(*membership)
            commands += [("HGET", key, names.COUNT_FIELD), ("HSET", key, names.COUNT_FIELD, copy)]
        replaced = self._unread.write_or_reset(commands)[::2]
        later = {membership: old for membership, reply in zip(copies, replaced, strict=True) if (old := number(reply)) > copies[membership]}
        if later:
            counts = self._counts(list({group_id for _, group_id in later}))
            # one above the counter is of a counter that Redis has lost since, and not later but wrong
            self._copy({membership: old for membership, old in later.items() if old <= (counts[membership[1]] or 0)})

    def reset_counters(self, group_id: int, members: Iterable[int]) -> None:
        """Let the msg_ids of a new group begin at 1, and its counters at 0, whatever a group that had this id before has left."""
        counters = [names.user_group_count_key(user_id, group_id) for user_id in members]
        commands: list[CacheCommand] = [("DEL", key) for key in (names.group_count_key(group_id), *counters)]
        self._unread.execute([("SET", names.group_msg_id_key(group_id), 0), *commands])

    # storing

    def _open(self, connection: DBConn, attempt: Attempt) -> Opened:
        drafts = attempt.drafts
        for draft in drafts:
            draft.conversation_id = draft.to_id
        group_ids = {draft.to_id for draft in drafts}
        keys = list(dict.fromkeys((draft.from_id, draft.to_id) for draft in drafts))
        sessions, last_ids = self._begin(connection, attempt, keys, group_ids, lambda key: GroupMembers.lock_name(key[1]))
        return Opened(last_ids, frozenset(), sessions, lambda: None)

    def _conversation_of(self, draft: Draft) -> int:
        return draft.to_id

    def _lock_query(self, conversation_ids: Iterable[int]) -> str:
        ids = ",".join(map(str, sorted(conversation_ids)))
        return f"select id from IMGroup force index (primary) where id in ({ids}) order by id for update"

    def _table(self, conversation_id: int) -> str:
        return names.group_message_table(conversation_id)

    def _insert(self, table: str, rows: Sequence[str]) -> str:
        return f"insert into {table} (groupId,userId,msgId,content,type,status,created,updated) values {','.join(rows)}"

    def _values(self, connection: DBConn, draft: Draft) -> str:
        content = connection.escape(draft.content.decode())
        return f"({draft.to_id},{draft.from_id},{draft.msg_id},{content},{draft.msg_type},0,{draft.created},{draft.created})"

    def _stored_query(self, draft: Draft) -> str:
        table = names.group_message_table(draft.to_id)
        return f"select content from {table} where groupId={draft.to_id} and msgId={draft.msg_id} and userId={draft.from_id}"

    def _counter_key(self, conversation_id: int) -> str:
        return names.group_msg_id_key(conversation_id)

    def _extra_statements(self, drafts: Sequence[Draft], now: int) -> list[str]:
        ids = ",".join(map(str, sorted({draft.to_id for draft in drafts})))
        return [f"update IMGroup force index (primary) set lastChated={now} where id in ({ids})"]

    def _count(self, drafts: Sequence[Draft]) -> None:
        """Raise the groups' counters; the copies of the senders get the value that the counter had with their last message."""
        by_group: dict[int, list[Draft]] = {}
        for draft in drafts:
            by_group.setdefault(draft.to_id, []).append(draft)
        commands: list[CacheCommand] = [
            ("HINCRBY", names.group_count_key(group_id), names.COUNT_FIELD, len(sent)) for group_id, sent in by_group.items()
        ]
        counts = dict(zip(by_group, self._unread.execute_with_errors(commands), strict=True))
        self._set_right(counts, by_group)
        copies: dict[tuple[int, int], int] = {}
        for group_id, sent in by_group.items():
            for position, draft in enumerate(sent):
                if group_id in counts:
                    copies[draft.from_id, group_id] = max(0, counts[group_id] - len(sent) + position + 1)
        self._copy(copies)

    def _set_right(self, counts: dict[int, Any], by_group: Mapping[int, Sequence[Draft]]) -> None:
        """Restore those of the counters that Redis has lost or cannot raise; without one that stays broken."""
        broken = {group_id: count for group_id, count in counts.items() if isinstance(count, BrokenKey) or count > LARGEST}
        for group_id, count in broken.items():
            logger.warning("group %d: its counter is no number of messages: %s", group_id, count)
            del counts[group_id]
        last_ids = {group_id: sent[-1].msg_id for group_id, sent in by_group.items()}
        lost = {
            group_id: last_ids[group_id]
            for group_id, count in counts.items()
            if looks_lost(count, len(by_group[group_id]), last_ids[group_id])
        }
        if not lost and not broken:
            return
        try:
            for group_id in (lost.keys() - self._counter_recovery.late(lost)) | broken.keys():
                restored = self._counter_recovery.restore(group_id, last_ids[group_id], len(by_group[group_id]))
                if restored is not None:
                    counts[group_id] = restored
        except StoreError as error:
            logger.error("counters of groups could not be restored: %s", error)
