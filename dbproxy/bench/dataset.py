"""The data that a measurement needs: users who know each other, groups, a history, counters and phones.

It is made with names that begin with ``PREFIX`` and with ids that the database gives, so that on an installation in use nothing that
is there is touched, no AUTO_INCREMENT jumps, and everything can be found and removed again, also after a measurement that was killed.
Making and removing are mostly the database's work: it multiplies rows itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from dbproxy.bench.site import Stores
from dbproxy.models import names
from dbproxy.stores.mysql import DBConn
from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.stores.redis import CacheCommand
from dbproxy.testing.seed import T0, password_hash

PREFIX = "dbproxy-bench-"
"""How the names of all users and groups of a measurement begin."""

PASSWORD = "123456"
SALT = "ab1c"

CHUNK = 500
"""Ids in one statement, and keys in one pipeline."""

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """How much data: people, how many others each of them picks to talk to, messages per conversation, groups and their size."""

    users: int = 400
    friends: int = 6
    history: int = 20
    groups: int = 20
    group_size: int = 50


@dataclass
class Data:
    """What was made: ids of users, pairs (smaller id, bigger id) with their relate_id, groups with their members."""

    shape: Shape
    users: list[int]
    relations: dict[tuple[int, int], int]
    groups: dict[int, list[int]]
    pairs: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = list(self.relations)

    def name_of(self, user_id: int) -> str:
        """The login name of a user."""
        return user_name(self.users.index(user_id) + 1)


def user_name(number: int) -> str:
    """The login name of the user with this number, from 1."""
    return f"{PREFIX}{number:06d}"


def token_of(user_id: int) -> str:
    """The push token of a user's phone."""
    return f"{PREFIX}token-{user_id}"


def numbers(count: int) -> str:
    """A derived table with the column ``n``: 1 to ``count``. Plain SQL, for every server."""
    digits = f"({' union all '.join(['select 0 as d', *(f'select {digit}' for digit in range(1, 10))])})"
    places = max(1, len(str(count - 1)))
    value = "+".join(f"{10**place}*p{place}.d" for place in range(places))
    tables = " join ".join(f"{digits} p{place}" for place in range(places))
    return f"(select 1+{value} as n from {tables} where 1+{value}<={count})"


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Cut a sequence into parts of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def joined(ids: Iterable[int]) -> str:
    """The ids as a list for SQL; an impossible id when there are none."""
    return ",".join(map(str, ids)) or "-1"


# making


def make(stores: Stores, shape: Shape) -> Data:
    """Make the data of ``shape``.

    Raises:
        StoreError: a store refused something; what was made can be removed with ``remove``.

    """
    rng = random.Random(7)
    with stores.databases.master.connection() as connection:
        connection.execute("begin")
        users = make_users(connection, 1, shape.users)
        chosen = {(min(a, b), max(a, b)) for a in users for b in rng.sample(users, min(shape.friends, len(users))) if a != b}
        relations = make_relations(connection, sorted(chosen))
        groups = {}
        for number in range(1, shape.groups + 1):
            members = sorted(rng.sample(users, min(shape.group_size, len(users))))
            groups[make_group(connection, number, members)] = members
        for part in chunks(list(relations.values())):
            make_messages(connection, part, 1, shape.history)
        for group_id, members in groups.items():
            make_group_messages(connection, group_id, members, 1, shape.history)
        connection.execute("commit")
    data = Data(shape, users, relations, groups)
    _make_keys(stores, data)
    return data


def make_users(connection: DBConn, first: int, count: int) -> list[int]:
    """Make users with the numbers from ``first``; their ids in the order of the numbers."""
    name = f"concat('{PREFIX}',lpad({first - 1}+n,6,'0'))"
    connection.execute(
        "insert into IMUser (sex,name,domain,nick,password,salt,phone,email,avatar,departId,status,created,updated,push_shield_status,"
        f"sign_info) select 1,{name},{name},{name},%s,%s,'13800000000',concat({name},'@example.com'),'',1,0,{T0},{T0},0,'' "
        f"from {numbers(count)} s order by n",
        (password_hash(PASSWORD, SALT), SALT),
    )
    low, high = user_name(first), user_name(first + count - 1)
    return [int(row[0]) for row in connection.select("select id from IMUser where name between %s and %s order by name", (low, high))]


def make_relations(connection: DBConn, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Acquaint pairs of users, and put each on the other's list; pair → relate_id."""
    for part in chunks(pairs):
        rows = ",".join(f"({small},{big},0,{T0},{T0})" for small, big in part)
        connection.execute(f"insert into IMRelationShip (smallId,bigId,status,created,updated) values {rows}")
        rows = ",".join(f"({one},{other},1,0,{T0},{T0})" for pair in part for one, other in (pair, pair[::-1]))
        connection.execute(f"insert into IMRecentSession (userId,peerId,type,status,created,updated) values {rows}")
    relations = {}
    for part in chunks(pairs):
        among = ",".join(f"({small},{big})" for small, big in part)
        for row in connection.select(f"select id,smallId,bigId from IMRelationShip where (smallId,bigId) in ({among})"):
            relations[int(row[1]), int(row[2])] = int(row[0])
    return relations


def make_group(connection: DBConn, number: int, members: Sequence[int]) -> int:
    """Make a group with its members' rows and sessions; its id."""
    connection.execute(
        "insert into IMGroup (name,avatar,creator,type,userCnt,status,version,lastChated,updated,created) "
        f"values ('{PREFIX}{number}','',{members[0]},1,{len(members)},0,1,0,{T0},{T0})"
    )
    group_id = int(connection.insert_id())
    make_members(connection, group_id, members)
    return group_id


def make_members(connection: DBConn, group_id: int, members: Sequence[int]) -> None:
    """Make rows of IMGroupMember and the group sessions."""
    for part in chunks(members):
        rows = ",".join(f"({group_id},{user_id},0,{T0},{T0})" for user_id in part)
        connection.execute(f"insert into IMGroupMember (groupId,userId,status,created,updated) values {rows}")
        rows = ",".join(f"({user_id},{group_id},2,0,{T0},{T0})" for user_id in part)
        connection.execute(f"insert into IMRecentSession (userId,peerId,type,status,created,updated) values {rows}")


def make_messages(connection: DBConn, relate_ids: Sequence[int], first: int, count: int) -> None:
    """Make ``count`` messages with the msg_ids from ``first`` in each conversation, by both sides in turn, one a second."""
    number = f"({first - 1}+n)"
    for shard in range(SHARDS):
        among = [relate_id for relate_id in relate_ids if relate_id % SHARDS == shard]
        if among and count:
            connection.execute(
                f"insert into {names.message_table(shard)} (relateId,fromId,toId,msgId,content,type,status,created,updated) "
                f"select r.id,if({number}%2,r.smallId,r.bigId),if({number}%2,r.bigId,r.smallId),{number},repeat('m',64),1,0,"
                f"{T0}+{number},{T0}+{number} from IMRelationShip r join {numbers(count)} s where r.id in ({joined(among)}) order by r.id,n"
            )


def make_group_messages(connection: DBConn, group_id: int, members: Sequence[int], first: int, count: int) -> None:
    """Make ``count`` messages with the msg_ids from ``first`` in a group, one a second."""
    number = f"({first - 1}+n)"
    if count:
        connection.execute(
            f"insert into {names.group_message_table(group_id)} (groupId,userId,msgId,content,type,status,created,updated) "
            f"select {group_id},elt(1+{number}%{min(len(members), CHUNK)},{joined(members[:CHUNK])}),{number},repeat('g',64),17,0,"
            f"{T0}+{number},{T0}+{number} from {numbers(count)} s order by n"
        )


def _make_keys(stores: Stores, data: Data) -> None:
    history = data.shape.history
    unread: list[CacheCommand] = []
    for (small, big), relate_id in data.relations.items():
        unread.append(("SET", names.msg_id_key(relate_id), history))
        unread.append(("HSET", names.unread_key(small), big, 3))
    for group_id in data.groups:
        unread.append(("SET", names.group_msg_id_key(group_id), history))
        unread.append(("HSET", names.group_count_key(group_id), names.COUNT_FIELD, history))
    for part in chunks(unread):
        stores.caches.unread.execute(part)
    make_phones(stores, data.users[::2])
    for group_id, members in data.groups.items():
        make_member_keys(stores, group_id, members)


def make_phones(stores: Stores, user_ids: Sequence[int]) -> None:
    """Give these users a phone."""
    for part in chunks(user_ids):
        commands: list[CacheCommand] = []
        for user_id in part:
            token = token_of(user_id)
            commands.append(("SET", names.device_key(b"%d" % user_id), f"android:{token}"))
            commands.append(("SET", names.device_key(token.encode()), user_id))
        stores.caches.token.execute(commands)


def make_member_keys(stores: Stores, group_id: int, members: Sequence[int]) -> None:
    """Write members into the hash of a group."""
    for part in chunks(members):
        fields = [argument for user_id in part for argument in (user_id, T0)]
        stores.caches.group_member.execute([("HSET", names.group_member_key(group_id), *fields)])


# removing


def remove(stores: Stores) -> int:
    """Remove everything that ``make`` and measurements have made; returns how many users and groups there were.

    Raises:
        StoreError: a store refused something; it can be called again.

    """
    like = f"{PREFIX}%"
    with stores.databases.master.connection() as connection:
        users = [int(row[0]) for row in connection.select("select id from IMUser where name like %s", (like,))]
        groups = [int(row[0]) for row in connection.select("select id from IMGroup where name like %s", (like,))]
        _remove_groups(stores, connection, groups)
        _remove_conversations(stores, connection, users)
        for part in chunks(users):
            stores.caches.unread.execute([("DEL", *map(names.unread_key, part))])
            keys = [key for user_id in part for key in (b"%d" % user_id, token_of(user_id).encode())]
            stores.caches.token.execute([("DEL", *map(names.device_key, keys))])
            connection.execute(f"delete from IMRecentSession where userId in ({joined(part)})")
            connection.execute(f"delete from IMUser where id in ({joined(part)})")
    return len(users) + len(groups)


def _remove_groups(stores: Stores, connection: DBConn, groups: Sequence[int]) -> None:
    """The groups go first, so that no background sync makes sessions for them again."""
    for group_id in groups:
        connection.execute(f"update IMGroup set status=1 where id={group_id}")
        rows = connection.select(f"select distinct userId from IMGroupMember where groupId={group_id}")
        stores.caches.group_member.execute([("DEL", names.group_member_key(group_id))])
        stores.caches.group_set.execute([("DEL", names.group_set_key(group_id))])
        stores.caches.unread.execute([("DEL", names.group_msg_id_key(group_id), names.group_count_key(group_id))])
        for part in chunks([int(row[0]) for row in rows]):
            stores.caches.unread.execute([("DEL", *(names.user_group_count_key(user_id, group_id) for user_id in part))])
        for table in (names.group_message_table(group_id), "IMGroupMember"):
            connection.execute(f"delete from {table} where groupId={group_id}")
        connection.execute(f"delete from IMGroup where id={group_id}")


def _remove_conversations(stores: Stores, connection: DBConn, users: Sequence[int]) -> None:
    """They talk to nobody but each other, so the smaller id of a relation finds all."""
    relations: list[int] = []
    for part in chunks(users):
        rows = connection.select(f"select id from IMRelationShip where smallId in ({joined(part)})")
        relations += [int(row[0]) for row in rows]
    for ids in chunks(relations, 50):  # short transactions: somebody else may be at work here
        for shard in range(SHARDS):
            among = [relate_id for relate_id in ids if relate_id % SHARDS == shard]
            if among:
                connection.execute(f"delete from {names.message_table(shard)} where relateId in ({joined(among)})")
        connection.execute(f"delete from IMRelationShip where id in ({joined(ids)})")
        stores.caches.unread.execute([("DEL", *map(names.msg_id_key, ids))])
