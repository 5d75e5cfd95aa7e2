"""What TeamTalk's C++ db_proxy_server leaves behind when it breaks conversations, and reading a history as clients do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.testing import Client, Stack, seed
from dbproxy.wire.pb import base_define_pb2 as base

SINGLE, GROUP = base.SESSION_TYPE_SINGLE, base.SESSION_TYPE_GROUP

History = tuple[int, int, base.SessionType]
"""Who reads, whose messages, and whether those of a group."""

Line = tuple[str, int, int]
"""(text, created, msg_id)."""


def store(stack: Stack, pair: tuple[int, int], relate_id: int, lines: Iterable[Line]) -> None:
    """Store messages of the first user to the second one under a relation, row by row in this order, and count them as unread."""
    lines = list(lines)
    columns: dict[str, seed.Value] = {"relateId": relate_id, "fromId": pair[0], "toId": pair[1], "type": 1, "status": 0}
    rows = [{**columns, "msgId": msg_id, "content": text, "created": created, "updated": created} for text, created, msg_id in lines]
    seed.insert(stack, f"IMMessage_{relate_id % SHARDS}", rows)
    with stack.redis() as redis:
        redis.hincrby(f"unread_{pair[1]}", str(pair[0]), len(lines))


def store_in_group(stack: Stack, sender: int, group_id: int, lines: Iterable[Line], *, lost: int = 0) -> None:
    """Store messages to a group, row by row in this order, and count them, except for the first ``lost``, whose count Redis has lost."""
    lines = list(lines)
    columns: dict[str, seed.Value] = {"groupId": group_id, "userId": sender, "type": 17, "status": 0}
    rows = [{**columns, "msgId": msg_id, "content": text, "created": created, "updated": created} for text, created, msg_id in lines]
    seed.insert(stack, f"IMGroupMessage_{group_id % SHARDS}", rows)
    with stack.redis() as redis:
        redis.hincrby(f"{group_id}_im_group_msg", "count", len(lines) - lost)


def first_messages_at_once(
    stack: Stack, pairs: Sequence[tuple[int, int]], first_relation: int = 1, messages: int = 40
) -> dict[int, list[str]]:
    """For each pair: ``messages`` first messages that were sent at once have made up to five relations with messages in each, and two
    sessions for each side. Afterwards people went on in the oldest relation. Returns the texts by the index of the pair, in any order.
    """
    texts: dict[int, list[str]] = {}
    relation = first_relation
    for index, pair in enumerate(pairs):
        relations = [seed.relation(stack, *pair, relate_id=relation + number) for number in range(2 + index % 4)]
        relation += len(relations)
        counters = dict.fromkeys(relations, 0)
        lines: dict[int, list[Line]] = {relate_id: [] for relate_id in relations}
        for number in range(messages):
            relate_id = relations[number * 7 % len(relations)]
            counters[relate_id] += 1
            lines[relate_id].append((f"{pair} at once {number}", seed.T0 + 10 + number // 15, counters[relate_id]))
        for number in range(10):
            counters[relations[0]] += 1
            lines[relations[0]].append((f"{pair} later {number}", seed.T0 + 100 + number, counters[relations[0]]))
        for relate_id in relations:
            # one thread was faster than another one
            if len(lines[relate_id]) > 3:
                lines[relate_id][1:3] = reversed(lines[relate_id][1:3])
            store(stack, pair, relate_id, lines[relate_id])
            seed.redis_key(stack, f"msg_id_{relate_id}", counters[relate_id])
        for _ in range(2):
            seed.session(stack, *pair)
            seed.session(stack, *reversed(pair))
        texts[index] = [text for of_relation in lines.values() for text, _, _ in of_relation]
    return texts


def flushed_under_load(before: int, after: int, since: int = 0) -> list[Line]:
    """Messages of a conversation whose counter was lost by Redis: ``before`` of them, ``after`` with ids from 1 again, and ``since`` that a
    proxy which corrects the counter has stored; two each second.
    """
    ids = [*range(1, before + 1), *range(1, after + 1)]
    ids += range(max(before, after) + 1, max(before, after) + since + 1)
    return [(f"message {number}", seed.T0 + number // 2, msg_id) for number, msg_id in enumerate(ids)]


def read_all(
    client: Client, user_id: int, peer_id: int, session_type: base.SessionType = SINGLE, page: int = 7
) -> list[tuple[str, int, int]]:
    """Read a history from its end as clients do, from the smallest id of the last page downwards; (text, created, msg_id), oldest first."""
    found: list[tuple[str, int, int]] = []
    begin = 0
    while True:
        listed = client.messages(user_id, peer_id, session_type, msg_id_begin=begin, msg_cnt=page).msg_list
        found += [(message.msg_data.decode(), message.create_time, message.msg_id) for message in listed]
        begin = min((message.msg_id for message in listed), default=1) - 1
        if not listed or begin == 0:
            return found[::-1]


def split_and_twice(stack: Stack, messages: int) -> dict[History, list[str]]:
    """Damage conversations with so many messages each: relations 1, 2 and 4 of users 1 and 2 (2 and 4 in other tables), and msg_ids given
    twice in relation 3 (users 3 and 4) and in group 9, which must exist. Returns what each history must contain, in this order.
    """
    for relate_id, pair in ((1, (1, 2)), (2, (1, 2)), (3, (3, 4)), (4, (1, 2))):
        seed.relation(stack, *pair, relate_id=relate_id)
    lines: dict[int, list[Line]] = {1: [], 2: [], 4: []}
    for number in range(messages):
        relate_id = (1, 2, 4, 1, 4)[number // 3 % 5]
        lines[relate_id].append((f"old {number}", seed.T0 + number // 3, len(lines[relate_id]) + 1))
    for relate_id, of_relation in lines.items():
        store(stack, (1, 2), relate_id, of_relation)
        seed.redis_key(stack, f"msg_id_{relate_id}", len(of_relation))
    twice = flushed_under_load(messages // 2, messages // 2)
    store(stack, (3, 4), 3, twice)
    store_in_group(stack, 1, 9, twice, lost=messages // 2)
    seed.redis_key(stack, "msg_id_3", messages // 2)
    seed.redis_key(stack, "group_msg_id_9", messages // 2)
    texts = [text for text, _, _ in twice]
    return {(1, 2, SINGLE): [f"old {number}" for number in range(messages)], (3, 4, SINGLE): texts, (2, 9, GROUP): texts}


def assert_readable(client: Client, histories: dict[History, list[str]]) -> None:
    """Each history has these old messages first, in this order and once, and its ids rise."""
    for key, texts in histories.items():
        history = read_all(client, *key, page=100)
        ids = [msg_id for _, _, msg_id in history]
        assert [text for text, _, _ in history[: len(texts)]] == texts
        assert len({text for text, _, _ in history}) == len(history)
        assert ids == sorted(set(ids))
