"""The things that grow: history, groups, users, unread conversations, connections. Each knows how to make more of itself."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from dbproxy.bench import commands, dataset
from dbproxy.bench.dataset import Data, Shape, user_name
from dbproxy.bench.site import Stores
from dbproxy.models import names
from dbproxy.stores.mysql import DBConn
from dbproxy.testing.seed import T0

UNANSWERED = ("read ack", "group read ack")
"""Commands without an answer cannot be timed."""


class Axis(abc.ABC):
    """One thing that grows. ``sizes`` ascend. Used by one thread, on private stores."""

    name: str
    sizes: Sequence[int]
    quick_sizes: Sequence[int]
    only: Sequence[str] = ()
    """Names of the requests that are measured; empty: all that are answered."""
    in_flight = 0
    """So many requests at once; 0: one at a time, with counters."""
    shape = Shape()

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.focus: commands.Focus

    def prepare(self, data: Data) -> None:
        """Choose whom the requests are about."""
        group_id, members = next(iter(data.groups.items()))
        user_id = next(user for user in members if any(pair[0] == user for pair in data.pairs))
        pair = next(pair for pair in data.pairs if pair[0] == user_id)
        name = data.name_of(user_id)
        self.data = data
        self.focus = commands.Focus(user_id, name, pair[1], data.relations[pair], group_id, since=T0 + 1)

    @abc.abstractmethod
    def grow(self, size: int) -> None:
        """Make the thing as big as ``size``; it was smaller before."""

    def requests(self) -> Mapping[str, Message]:
        """What is measured now."""
        made = commands.requests(self.focus)
        return {name: request for name, request in made.items() if (name in self.only if self.only else name not in UNANSWERED)}


class History(Axis):
    """Messages in one conversation and in one group."""

    name = "messages in the conversation"
    sizes = (20, 2_000, 20_000, 200_000)
    quick_sizes = (20, 20_000)
    only = (
        *("send", "list, newest", "list, middle", "list, oldest", "by id", "latest id"),
        *("group send", "group list, newest", "group list, middle", "group list, oldest", "group by id", "group latest id"),
        *("unread", "recent", "token"),
    )

    def grow(self, size: int) -> None:
        """Add to the history; what the measurement sent meanwhile goes, so that msg_ids and times stay in step."""
        focus, had = self.focus, getattr(self, "_had", self.shape.history)
        members = self.data.groups[focus.group_id]
        with self.stores.databases.master.connection() as connection:
            connection.execute("begin")
            for table, column, key in self._conversations():
                connection.execute(f"delete from {table} where {column}={key} and msgId>{had}")
            dataset.make_messages(connection, [focus.relate_id], had + 1, size - had)
            dataset.make_group_messages(connection, focus.group_id, members, had + 1, size - had)
            connection.execute("commit")
            for table, _, _ in self._conversations():
                connection.select(f"analyze table {table}")
        self.stores.caches.unread.execute(
            [
                ("SET", names.msg_id_key(focus.relate_id), size),
                ("SET", names.group_msg_id_key(focus.group_id), size),
                ("HSET", names.group_count_key(focus.group_id), names.COUNT_FIELD, size),
            ]
        )
        self._had = size
        self.focus = commands.Focus(
            focus.user_id, focus.user_name, focus.peer_id, focus.relate_id, focus.group_id, max(1, size // 2), focus.since
        )

    def _conversations(self) -> list[tuple[str, str, int]]:
        relate_id, group_id = self.focus.relate_id, self.focus.group_id
        return [
            (names.message_table(relate_id), "relateId", relate_id),
            (names.group_message_table(group_id), "groupId", group_id),
        ]


class GroupSize(Axis):
    """Members of one group."""

    name = "members of the group"
    sizes = (50, 500, 5_000)
    quick_sizes = (50, 500)
    only = (
        *("group send", "group list, newest", "group latest id", "unread", "recent", "token", "groups", "group info", "mute", "who muted"),
    )

    def grow(self, size: int) -> None:
        """Let new users join."""
        members = self.data.groups[self.focus.group_id]
        group_id, more = self.focus.group_id, size - len(members)
        if more <= 0:
            return
        with self.stores.databases.master.connection() as connection:
            connection.execute("begin")
            new = dataset.make_users(connection, len(self.data.users) + 1, more)
            dataset.make_members(connection, group_id, new)
            connection.execute(f"update IMGroup set userCnt={size} where id={group_id}")
            connection.execute("commit")
            _analyze(connection, "IMUser", "IMGroupMember", "IMRecentSession")
        dataset.make_member_keys(self.stores, group_id, new)
        self.data.users += new
        self.data.groups[group_id] = members + new


class Users(Axis):
    """People in the installation, each new one acquainted with another."""

    name = "users of the installation"
    sizes = (400, 10_000, 100_000)
    quick_sizes = (400, 10_000)
    only = (
        *("send", "list, newest", "unread", "recent", "token", "user info", "login", "changed users", "departments", "push shield"),
        *("set push shield", "sign info", "set token", "groups", "offline files"),
    )

    def grow(self, size: int) -> None:
        """Make users."""
        more = size - len(self.data.users)
        if more <= 0:
            return
        with self.stores.databases.master.connection() as connection:
            connection.execute("begin")
            new = dataset.make_users(connection, len(self.data.users) + 1, more)
            dataset.make_relations(connection, list(zip(new[::2], new[1::2], strict=False)))
            connection.execute("commit")
            _analyze(connection, "IMUser", "IMRelationShip", "IMRecentSession")
        self.data.users += new


class Unread(Axis):
    """Conversations of one user, all with something unread."""

    name = "unread conversations of the user"
    sizes = (5, 50, 500)
    quick_sizes = (5, 50)
    only = ("send", "list, newest", "unread", "recent", "token")
    shape = Shape(users=100, friends=4, groups=4, group_size=20)

    def prepare(self, data: Data) -> None:
        """Choose a user who knows nobody yet."""
        super().prepare(data)
        focus = self.focus
        with self.stores.databases.master.connection() as connection:
            (user_id,) = dataset.make_users(connection, len(data.users) + 1, 1)
        data.users.append(user_id)
        dataset.make_phones(self.stores, [user_id])
        self._relations: dict[tuple[int, int], int] = {}
        self.focus = commands.Focus(user_id, user_name(len(data.users)), 0, 0, focus.group_id, since=focus.since)

    def grow(self, size: int) -> None:
        """Make people who write to the user."""
        more = size - len(self._relations)
        user_id = self.focus.user_id
        with self.stores.databases.master.connection() as connection:
            connection.execute("begin")
            new = dataset.make_users(connection, len(self.data.users) + 1, more)
            relations = dataset.make_relations(connection, [(user_id, peer_id) for peer_id in new])
            for part in dataset.chunks(list(relations.values())):
                dataset.make_messages(connection, part, 1, self.shape.history)
            connection.execute("commit")
            _analyze(connection, "IMUser", "IMRelationShip", "IMRecentSession")
        self.stores.caches.unread.execute(
            [
                *(("SET", names.msg_id_key(relate_id), self.shape.history) for relate_id in relations.values()),
                *(("HSET", names.unread_key(user_id), peer_id, 3) for peer_id in new),
            ]
        )
        self.data.users += new
        self._relations |= relations
        peer_id = next(iter(relations))[1]
        self.focus = commands.Focus(
            user_id, self.focus.user_name, peer_id, relations[user_id, peer_id], self.focus.group_id, since=self.focus.since
        )


class Connections(Axis):
    """Connections to the proxy, 64 requests in flight over all of them. With few connections many requests come with one read; from 64
    on each comes alone, so the step from 4 to 64 is what that costs, and the rest is what idle connections cost.
    """

    name = "connections"
    sizes = (4, 64, 1_000)
    quick_sizes = (4, 64, 256)
    only = ("user info", "send")
    in_flight = 64

    def grow(self, size: int) -> None:
        """The load generator opens them."""


AXES: Mapping[str, type[Axis]] = {
    "history": History,
    "group": GroupSize,
    "users": Users,
    "unread": Unread,
    "connections": Connections,
}
"""By the word for the command line."""


def _analyze(connection: DBConn, *tables: str) -> None:
    """Let the database look at what it has, as it would have had time to in a real life."""
    connection.select(f"analyze table {','.join(tables)}")
