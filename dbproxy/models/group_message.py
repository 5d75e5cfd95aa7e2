"""GroupMessage: group messages, their history and their unread counters. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dbproxy.models import names
from dbproxy.models.draft import Draft
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.history import (
    HISTORY_COLUMNS,
    MAX_BY_ID,
    MAX_LIST,
    StoredMessage,
    read_history,
    union,
)
from dbproxy.models.last_ids import LastIds
from dbproxy.models.lost_counters import LostCounters, has_jumped, looks_lost
from dbproxy.models.message_store import MessageStore, Opened
from dbproxy.models.session import GROUP, SessionModel
from dbproxy.stores.cache import CacheCommand, CachePool, number
from dbproxy.stores.mysql import DBConn, DBPool


class GroupMessageModel(MessageStore):
    """IMGroupMessage_0..7 by group id, and the group counters.

    Unread is a difference of two counters, the group's and the user's copy of it, so that a message to a group of 5,000 costs one
    increment.
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
        look_timeout: float,
    ) -> None:
        last_ids = LastIds("groupId", names.group_message_table, "idx_groupId_msgId_status_created", by_status=False)
        super().__init__(master, unread, sessions, last_ids, content_limit, lock_timeout, look_timeout)
        self._slave = slave
        self._members = members
        self._lost_counters = LostCounters(master, unread, members, lock_timeout)

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
                    f"force index (idx_groupId_status_created) where groupId={group_id} and status=0{below} and created>={since} "
                    f"order by created desc,id desc limit {min(count, MAX_LIST)}"
                )
        return self._history([group_id for _, group_id, _, _ in wanted], queries)

    def by_id(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[list[StoredMessage]]:
        """For each (user id, group id, msg_ids): those messages, newest first, at most 100, none from before the user joined."""
        queries: dict[int, str] = {}
        joined = self._members.join_times([(group_id, user_id) for user_id, group_id, _ in wanted])
        for index, ((_, group_id, msg_ids), since) in enumerate(zip(wanted, joined, strict=True)):
            if since is not None and msg_ids:
                among = ",".join(map(str, set(msg_ids)))
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
        counts = self._counts(list(dict.fromkeys(group_id for _, group_id in memberships)))
        self._copy({membership: counts[membership[1]] for membership in memberships if membership[1] in counts}, counts)

    def _counts(self, group_ids: Sequence[int]) -> dict[int, int]:
        """The counters of those of the groups that have one."""
        replies = self._unread.run([("HGET", names.group_count_key(group_id), names.COUNT_FIELD) for group_id in group_ids])
        return {group_id: number(reply) for group_id, reply in zip(group_ids, replies, strict=True) if reply is not None}

    def _copy(self, copies: Mapping[tuple[int, int], int], counts: Mapping[int, int]) -> None:
        """Write users' copies, made of counters that were ``counts``; anew if a lost counter was restored in between."""
        commands: list[CacheCommand] = [
            ("HSET", names.user_group_count_key(*membership), names.COUNT_FIELD, copy) for membership, copy in copies.items()
        ]
        commands += [("HGET", names.group_count_key(group_id), names.COUNT_FIELD) for group_id in counts]
        now = dict(zip(counts, map(number, self._unread.run(commands)[len(copies) :]), strict=True))
        jumped = {group_id for group_id, count in counts.items() if has_jumped(count, now[group_id])}
        if jumped:
            self._copy({membership: now[membership[1]] for membership in copies if membership[1] in jumped}, {})

    def reset_ids(self, group_id: int) -> None:
        """Let the msg_ids of a new group begin at 1."""
        self._unread.run([("SET", names.group_msg_id_key(group_id), 0)])

    # storing

    def _open(self, connection: DBConn, drafts: Sequence[Draft], lock_names: frozenset[str], now: int) -> Opened:
        for draft in drafts:
            draft.conversation_id = draft.to_id
        group_ids = {draft.to_id for draft in drafts}
        keys = list(dict.fromkeys((draft.from_id, draft.to_id) for draft in drafts))
        _, sessions, last_ids = self._begin(connection, keys, group_ids, lambda key: GroupMembers.lock_name(key[1]), lock_names, now)
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
        counts: dict[int, int] = {}
        copies: dict[tuple[int, int], int] = {}
        for (group_id, sent), count in zip(by_group.items(), self._unread.run(commands), strict=True):
            counts[group_id] = count
            if looks_lost(count, len(sent), sent[-1].msg_id):
                counts[group_id] = self._lost_counters.restore(group_id, sent[-1].msg_id)
            for position, draft in enumerate(sent):
                copies[draft.from_id, group_id] = max(0, counts[group_id] - len(sent) + position + 1)
        self._copy(copies, counts)
