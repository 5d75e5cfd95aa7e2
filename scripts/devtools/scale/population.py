"""Large installations for measurements: up to ten million messages and a million users, in a directory that is kept.

Users, conversations and groups are numbered from 1, and everything about them follows from their number, so nothing has to be remembered.
Each user has conversations with the next one and with the seventh after that, every fiftieth number begins a group of 20, and each
conversation has few messages, as most do. Rows of a table are in the order of time, not of conversations, as in real tables: the rows of a
conversation are far apart. What is complete is written down in the database, so an interrupted run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dbproxy.backends import Backends
from dbproxy.bench.dataset import PASSWORD, PREFIX, SALT, numbers, token_of
from dbproxy.models import names
from dbproxy.stores.mysql import DBConn
from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.stores.redis import CacheCommand
from dbproxy.testing.seed import T0, password_hash

FRIENDS = (1, 7)
"""A user has conversations with those whose number is bigger by this much."""

GROUP_EVERY, GROUP_SIZE = 50, 20
MESSAGES, GROUP_MESSAGES = 4, 100
"""Messages in each conversation, and in each group."""

UNREAD = 3
PHONE_EVERY = 5
"""Every fifth user has a phone."""

BLOCK = 50_000
"""Rows of one statement; a transaction of its own."""

KEYS_AT_ONCE = 2_000

TABLES = ("IMUser", "IMRelationShip", "IMRecentSession", "IMGroup", "IMGroupMember")


@dataclass(frozen=True)
class Population:
    """An installation with so many users."""

    name: str
    users: int

    @property
    def relations(self) -> int:
        """Conversations between two users; their ids are 1 to this, see ``pair``."""
        return len(FRIENDS) * (self.users - max(FRIENDS))

    @property
    def groups(self) -> int:
        """Groups; their ids are 1 to this, see ``members``."""
        return self.users // GROUP_EVERY

    @property
    def messages(self) -> int:
        """Messages in all conversations and groups."""
        return MESSAGES * self.relations + GROUP_MESSAGES * self.groups

    @staticmethod
    def pair(relate_id: int) -> tuple[int, int]:
        """Return (smaller user id, bigger user id) of a conversation."""
        small = 1 + (relate_id - 1) // len(FRIENDS)
        return small, small + FRIENDS[(relate_id - 1) % len(FRIENDS)]

    @staticmethod
    def members(group_id: int) -> range:
        """Return the ids of the users who are in a group."""
        first = 1 + GROUP_EVERY * (group_id - 1)
        return range(first, first + GROUP_SIZE)


POPULATIONS = {
    population.name: population
    for population in (Population("small", 1_000), Population("middle", 100_000), Population("large", 1_000_000))
}
"""By name: 10 thousand, 1 million and 10 million messages."""


def fill(backends: Backends, population: Population, show: Callable[[str], None]) -> None:
    """Create what is missing of a population in private backends.

    Raises:
        StoreError: a backend failed; the next call goes on.

    """
    with backends.master.connection() as connection:
        connection.execute("create table if not exists scale_done (step varchar(80) primary key) engine=InnoDB")
        done = {row[0].decode() for row in connection.select("select step from scale_done")}
        connection.execute("set unique_checks=0")
        for step, statement in _rows(population):
            if step not in done:
                show(step)
                connection.execute("begin")
                connection.execute(statement)
                connection.execute("insert into scale_done values (%s)", (step,))
                connection.execute("commit")
        if "analyzed" not in done:
            _analyze(connection)
            connection.execute("insert into scale_done values ('analyzed')")
    if not backends.caches.unread.execute([("EXISTS", "scale_done")])[0]:
        show("keys of Redis")
        _write_keys(backends, population)
        backends.caches.unread.execute([("SET", "scale_done", 1)])


def _blocks(count: int, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    for first in range(1, count + 1, size):
        yield first, min(size, count - first + 1)


def _rows(population: Population) -> Iterator[tuple[str, str]]:
    """The statements that create all rows, each with a name of its own."""
    for first, count in _blocks(population.users):
        yield f"users from {first}", _users(first, count)
    for first, count in _blocks(population.relations // len(FRIENDS)):
        yield f"relations from {first}", _relations(first, count)
        for side in (0, 1):
            yield f"sessions {side} from {first}", _sessions(first, count, side)
    for first, count in _blocks(population.groups):
        yield (
            f"groups from {first}",
            "insert into IMGroup (id,name,avatar,creator,type,userCnt,status,version,lastChated,updated,created) "
            f"select g,concat('{PREFIX}',g),'',{_first_member('g')},1,{GROUP_SIZE},0,1,{T0},{T0},{T0} "
            f"from (select {first - 1}+n as g from {numbers(count)} s) x order by g",
        )
    for first, count in _blocks(population.groups, BLOCK // GROUP_SIZE):
        source = f"(select {first - 1}+s.n as g,m.n as m from {numbers(count)} s join {numbers(GROUP_SIZE)} m) x order by g,m"
        user = f"{_first_member('g')}+m-1"
        yield (
            f"members from {first}",
            f"insert into IMGroupMember (groupId,userId,status,created,updated) select g,{user},0,{T0},{T0} from {source}",
        )
        yield (
            f"group sessions from {first}",
            f"insert into IMRecentSession (userId,peerId,type,status,created,updated) select {user},g,2,0,{T0},{T0} from {source}",
        )
    for shard in range(SHARDS):
        for number in range(1, MESSAGES + 1):
            for first, count in _blocks(population.relations // SHARDS + 1):
                yield f"messages {number} of table {shard} from {first}", _messages(population, shard, number, first, count)
        per_table = population.groups // SHARDS + 1
        for number, count in _blocks(GROUP_MESSAGES, max(1, BLOCK // per_table)):
            yield f"group messages of table {shard} from {number}", _group_messages(population, shard, number, count)


def _first_member(group: str) -> str:
    return f"1+{GROUP_EVERY}*({group}-1)"


def _users(first: int, count: int) -> str:
    name = f"concat('{PREFIX}',if(u<1000000,lpad(u,6,'0'),u))"
    return (
        "insert into IMUser (id,sex,name,domain,nick,password,salt,phone,email,avatar,departId,status,created,updated,push_shield_status,"
        f"sign_info) select u,1,{name},{name},{name},'{password_hash(PASSWORD, SALT)}','{SALT}',concat('138',lpad(u,8,'0')),"
        f"concat({name},'@example.com'),'',1,0,{T0},{T0},0,'' from (select {first - 1}+n as u from {numbers(count)} s) x order by u"
    )


def _of_users(first: int, count: int) -> str:
    """A table of conversations of users who are the smaller one: relate_id ``r``, ``small`` and ``big``."""
    friends = " union all ".join(f"select {number} as k,{distance} as d" for number, distance in enumerate(FRIENDS, 1))
    relate_id = f"{len(FRIENDS)}*({first - 1}+s.n-1)+f.k"
    return f"(select {relate_id} as r,{first - 1}+s.n as small,{first - 1}+s.n+f.d as big from {numbers(count)} s join ({friends}) f) x"


def _relations(first: int, count: int) -> str:
    return (
        "insert into IMRelationShip (id,smallId,bigId,status,created,updated) "
        f"select r,small,big,0,{T0},{T0} from {_of_users(first, count)} order by r"
    )


def _sessions(first: int, count: int, side: int) -> str:
    user, peer = ("small", "big") if side == 0 else ("big", "small")
    return (
        "insert into IMRecentSession (userId,peerId,type,status,created,updated) "
        f"select {user},{peer},1,0,{T0},{T0} from {_of_users(first, count)} order by r"
    )


def _messages(population: Population, shard: int, number: int, first: int, count: int) -> str:
    """The messages with this number in a part of the conversations of a table."""
    time = T0 + 86_400 * number
    return (
        f"insert into {names.message_table(shard)} (relateId,fromId,toId,msgId,content,type,status,created,updated) "
        f"select id,if({number % 2},smallId,bigId),if({number % 2},bigId,smallId),{number},repeat('m',64),1,0,{time},{time} "
        f"from IMRelationShip where id between {SHARDS * (first - 1)} and {min(SHARDS * (first + count - 1) - 1, population.relations)} "
        f"and id%{SHARDS}={shard} order by id"
    )


def _group_messages(population: Population, shard: int, number: int, count: int) -> str:
    """``count`` messages from this number on in every group of a table."""
    return (
        f"insert into {names.group_message_table(shard)} (groupId,userId,msgId,content,type,status,created,updated) "
        f"select g.id,{_first_member('g.id')}+{number - 1}%{GROUP_SIZE},{number - 1}+n,repeat('g',64),17,0,{T0}+{number - 1}+n,"
        f"{T0}+{number - 1}+n from IMGroup g join {numbers(count)} s "
        f"where g.id<={population.groups} and g.id%{SHARDS}={shard} order by n,g.id"
    )


def _analyze(connection: DBConn) -> None:
    tables = [*TABLES, *(name(shard) for name in (names.message_table, names.group_message_table) for shard in range(SHARDS))]
    connection.select(f"analyze table {','.join(tables)}")


def _write_keys(backends: Backends, population: Population) -> None:
    """Counters, unread numbers, members and tokens, as the proxy keeps them."""
    caches = backends.caches
    _execute(caches.unread.execute, (("SET", names.msg_id_key(r), MESSAGES) for r in range(1, population.relations + 1)))
    _execute(
        caches.unread.execute,
        (("HSET", names.unread_key(small), big, UNREAD) for small, big in map(population.pair, range(1, population.relations + 1, 2))),
    )
    groups = range(1, population.groups + 1)
    _execute(caches.unread.execute, (("SET", names.group_msg_id_key(group), GROUP_MESSAGES) for group in groups))
    _execute(caches.unread.execute, (("HSET", names.group_count_key(g), names.COUNT_FIELD, GROUP_MESSAGES) for g in groups))
    _execute(
        caches.group_member.execute,
        (("HSET", names.group_member_key(g), *(part for user in population.members(g) for part in (user, T0))) for g in groups),
    )
    phones = range(1, population.users + 1, PHONE_EVERY)
    _execute(caches.token.execute, (("SET", names.device_key(b"%d" % user), f"android:{token_of(user)}") for user in phones))
    _execute(caches.token.execute, (("SET", names.device_key(token_of(user).encode()), user) for user in phones))


def _execute(execute: Callable[[list[CacheCommand]], object], commands: Iterator[CacheCommand]) -> None:
    part: list[CacheCommand] = []
    for command in commands:
        part.append(command)
        if len(part) == KEYS_AT_ONCE:
            execute(part)
            part = []
    execute(part)
