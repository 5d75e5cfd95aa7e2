"""Comparison of message histories and of the tables with what a proxy guarantees. Every difference is a sentence; none is a success."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pymysql

from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.testing.stack import Stack
from devtools.history import Conversation, MessageHistory, text_of, token_of

SHOWN = 10
"""Problems of one kind that are listed one by one."""

SOUND_TYPES = (2, 18)
"""Message types of sounds to a user and to a group."""


class Stored(NamedTuple):
    """A row of a message table."""

    conversation: Conversation
    msg_id: int
    sender: int
    msg_type: int
    text: str


def stored_messages(stack: Stack) -> Iterator[Stored]:
    """Read all messages without holding all of them in memory."""
    queries = [
        f"select 0,smallId,bigId,msgId,fromId,type,content from IMMessage_{shard} m join IMRelationShip r on r.id=m.relateId"
        for shard in range(SHARDS)
    ]
    queries += [f"select 1,groupId,0,msgId,userId,type,content from IMGroupMessage_{shard}" for shard in range(SHARDS)]
    with contextlib.closing(stack.mysql()) as connection, connection.cursor(pymysql.cursors.SSCursor) as cursor:
        for query in queries:
            cursor.execute(query)
            for to_group, one, other, msg_id, sender, msg_type, text in cursor.fetchall_unbuffered():
                yield Stored(Conversation(bool(to_group), one, other), msg_id, sender, msg_type, text)


def verify(stack: Stack, histories: Sequence[MessageHistory]) -> list[str]:
    """Return all problems that ``verify_messages`` and ``verify_tables`` find."""
    return verify_messages(stack, histories) + verify_tables(stack)


def verify_messages(stack: Stack, histories: Sequence[MessageHistory]) -> list[str]:
    """Check that every acknowledged message is stored once, with its msg_id, sender and text; that msg_ids ascend in the order of sending;
    and that no msg_id of a conversation is used twice.
    """
    problems: list[str] = []
    by_number = {history.number: history for history in histories}
    found: dict[str, tuple[Conversation, int, int]] = {}
    sounds: dict[tuple[Conversation, int, int], str] = {}
    copies: Counter[str] = Counter()
    ids: Counter[tuple[Conversation, int]] = Counter()
    for row in stored_messages(stack):
        ids[row.conversation, row.msg_id] += 1
        if row.msg_type in SOUND_TYPES:
            sounds[row.conversation, row.sender, row.msg_id] = row.text
            continue
        token = token_of(row.text)
        history = by_number.get(int(token.partition(".")[0])) if token else None
        if token is None or history is None or not history.has_sent(token):
            continue  # of another client
        if row.text != text_of(token):
            problems.append(f"message {token} is stored with another text: {row.text[:60]!r}")
        copies[token] += 1
        found[token] = (row.conversation, row.msg_id, row.sender)
    problems += [f"message {token} is stored {count} times" for token, count in copies.items() if count > 1]
    problems += [f"msg_id {msg_id} of {conversation} is used {count} times" for (conversation, msg_id), count in ids.items() if count > 1]
    for history in histories:
        problems += _compare_texts(history, found)
    return shortened(problems + _compare_sounds(stack, histories, sounds))


def _compare_texts(history: MessageHistory, found: Mapping[str, tuple[Conversation, int, int]]) -> list[str]:
    problems = []
    last: dict[Conversation, int] = defaultdict(int)
    for message in history.acknowledged:
        stored = found.get(message.token)
        if stored != (message.conversation, message.msg_id, message.sender):
            problems.append(f"{message} is stored as {stored}")
        if message.msg_id <= last[message.conversation]:
            problems.append(f"message {message.token} got msg_id {message.msg_id} after {last[message.conversation]}")
        last[message.conversation] = message.msg_id
    return problems


def _compare_sounds(stack: Stack, histories: Sequence[MessageHistory], stored: Mapping[tuple[Conversation, int, int], str]) -> list[str]:
    sizes = {str(row["id"]): row["size"] for row in stack.rows("select id,size from IMAudio")}
    problems = []
    for sound in (sound for history in histories for sound in history.sounds):
        audio_id = stored.get((sound.conversation, sound.sender, sound.msg_id))
        if audio_id is None or sizes.get(audio_id) != sound.size:
            problems.append(f"{sound} is stored as {audio_id} with {sizes.get(audio_id or '')} bytes")
    return problems


def verify_tables(stack: Stack) -> list[str]:
    """Check that no relation or session has two rows, and that rows, Redis hash and userCnt of each group agree. A group whose hash Redis
    has lost is no problem: the proxy restores it.
    """
    problems = []
    for table, columns in (("IMRelationShip", "smallId,bigId"), ("IMRecentSession", "userId,peerId,type")):
        rows = stack.rows(f"select {columns},count(*) as n from {table} group by {columns} having n>1")
        problems += [f"{table} has duplicates: {row}" for row in rows]
    for group in stack.rows("select id,userCnt from IMGroup"):
        rows = stack.rows("select userId from IMGroupMember where groupId=%s and status=0", (group["id"],))
        members = {str(row["userId"]) for row in rows}
        if len(members) != group["userCnt"]:
            problems.append(f"group {group['id']}: userCnt {group['userCnt']}, members {len(members)}")
        with stack.redis("group_member") as redis:
            hashed = set(redis.hkeys(f"group_member_{group['id']}"))
        if hashed and hashed != members:
            problems.append(f"group {group['id']}: Redis has {sorted(hashed)}, MySQL {sorted(members)}")
    return problems


def shortened(problems: list[str]) -> list[str]:
    """Return the first problems, followed by the number of the others."""
    return problems if len(problems) <= SHOWN else [*problems[:SHOWN], f"... and {len(problems) - SHOWN} more like these"]
