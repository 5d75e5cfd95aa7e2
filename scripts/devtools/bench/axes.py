"""The dimensions of a growth measurement: history, group, users, unread conversations, connections."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from dbproxy.backends import Backends
from dbproxy.bench import dataset
from dbproxy.bench.dataset import Data, Shape, user_name
from dbproxy.bench.requests import REQUESTS, Subject
from dbproxy.models import names
from dbproxy.stores.mysql import DBConn
from dbproxy.testing.seed import T0


class Axis(abc.ABC):
    """One dimension that grows, with the data for it. ``sizes`` ascend. One thread; private backends only."""

    name: str
    sizes: Sequence[int]
    quick_sizes: Sequence[int]
    measured: Sequence[str]
    """Names of the requests that are measured."""
    in_flight = 0
    """Requests at a time; 0: one at a time, with counters."""
    shape = Shape()

    def __init__(self, backends: Backends) -> None:
        self.backends = backends
        self.subject: Subject

    def prepare(self, data: Data) -> None:
        """Choose the subject of the requests."""
        group_id, members = next(iter(data.groups.items()))
        user_id = next(user for user in members if any(pair[0] == user for pair in data.pairs))
        pair = next(pair for pair in data.pairs if pair[0] == user_id)
        name = data.name_of(user_id)
        self.data = data
        self.subject = Subject(user_id, name, pair[1], data.relations[pair], group_id, user_id, since=T0 + 1)

    @abc.abstractmethod
    def grow(self, size: int) -> None:
        """Add data until the dimension has ``size``; it was smaller before."""

    def requests(self) -> Mapping[str, Message]:
        """Return name → request for everything that is measured now."""
        return {name: REQUESTS[name](self.subject) for name in self.measured}


class History(Axis):
    """Messages in one conversation and in one group."""

    name = "messages in the conversation"
    sizes = (20, 2_000, 20_000, 200_000)
    quick_sizes = (20, 20_000)
    measured = (
        *("send", "list, newest", "list, middle", "list, oldest", "by id", "latest id"),
        *("group send", "group list, newest", "group list, middle", "group list, oldest", "group by id", "group latest id"),
        *("unread", "recent", "token"),
    )

    def grow(self, size: int) -> None:
        """Add messages. Those that the measurement has sent are deleted first, so that msg_ids and times stay in the same order."""
        subject, had = self.subject, getattr(self, "_had", self.shape.history)
        members = self.data.groups[subject.group_id]
        with self.backends.master.connection() as connection:
            connection.execute("begin")
            for table, column, key in self._conversations():
                connection.execute(f"delete from {table} where {column}={key} and msgId>{had}")
            dataset.make_messages(connection, [subject.relate_id], had + 1, size - had)
            dataset.make_group_messages(connection, subject.group_id, members, had + 1, size - had)
            connection.execute("commit")
            for table, _, _ in self._conversations():
                connection.select(f"analyze table {table}")
        self.backends.caches.unread.execute(
            [
                ("SET", names.msg_id_key(subject.relate_id), size),
                ("SET", names.group_msg_id_key(subject.group_id), size),
                ("HSET", names.group_count_key(subject.group_id), names.COUNT_FIELD, size),
            ]
        )
        self._had = size
        self.subject = dataclasses.replace(subject, middle=max(1, size // 2))

    def _conversations(self) -> list[tuple[str, str, int]]:
        relate_id, group_id = self.subject.relate_id, self.subject.group_id
        return [
            (names.message_table(relate_id), "relateId", relate_id),
            (names.group_message_table(group_id), "groupId", group_id),
        ]


class GroupSize(Axis):
    """Members of one group."""

    name = "members of the group"
    sizes = (50, 500, 5_000)
    quick_sizes = (50, 500)
    measured = (
        *("group send", "group list, newest", "group latest id", "unread", "recent", "token", "groups", "group info", "mute", "who muted"),
    )

    def grow(self, size: int) -> None:
        """Create users and add them to the group."""
        members = self.data.groups[self.subject.group_id]
        group_id, more = self.subject.group_id, size - len(members)
        if more <= 0:
            return
        with self.backends.master.connection() as connection:
            connection.execute("begin")
            new = dataset.make_users(connection, len(self.data.users) + 1, more)
            dataset.make_members(connection, group_id, new)
            connection.execute(f"update IMGroup set userCnt={size} where id={group_id}")
            connection.execute("commit")
            _analyze(connection, "IMUser", "IMGroupMember", "IMRecentSession")
        dataset.make_member_keys(self.backends, group_id, new)
        self.data.users += new
        self.data.groups[group_id] = members + new


class Users(Axis):
    """Users of the installation; each new one has a relation with another."""

    name = "users of the installation"
    sizes = (400, 10_000, 100_000)
    quick_sizes = (400, 10_000)
    measured = (
        *("send", "list, newest", "unread", "recent", "token", "user info", "login", "changed users", "departments", "push shield"),
        *("set push shield", "sign info", "set token", "groups", "offline files"),
    )

    def grow(self, size: int) -> None:
        """Create users."""
        more = size - len(self.data.users)
        if more <= 0:
            return
        with self.backends.master.connection() as connection:
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
    measured = ("send", "list, newest", "unread", "recent", "token")
    shape = Shape(users=100, friends=4, groups=4, group_size=20)

    def prepare(self, data: Data) -> None:
        """Create a user without relations as the subject."""
        super().prepare(data)
        with self.backends.master.connection() as connection:
            (user_id,) = dataset.make_users(connection, len(data.users) + 1, 1)
        data.users.append(user_id)
        dataset.make_device_tokens(self.backends, [user_id])
        self._relations: dict[tuple[int, int], int] = {}
        self.subject = dataclasses.replace(self.subject, user_id=user_id, user_name=user_name(len(data.users)), member_id=user_id)

    def grow(self, size: int) -> None:
        """Create users who have written to the subject."""
        more = size - len(self._relations)
        user_id = self.subject.user_id
        with self.backends.master.connection() as connection:
            connection.execute("begin")
            new = dataset.make_users(connection, len(self.data.users) + 1, more)
            relations = dataset.make_relations(connection, [(user_id, peer_id) for peer_id in new])
            for part in dataset.chunks(list(relations.values())):
                dataset.make_messages(connection, part, 1, self.shape.history)
            connection.execute("commit")
            _analyze(connection, "IMUser", "IMRelationShip", "IMRecentSession")
        self.backends.caches.unread.execute(
            [
                *(("SET", names.msg_id_key(relate_id), self.shape.history) for relate_id in relations.values()),
                *(("HSET", names.unread_key(user_id), peer_id, 3) for peer_id in new),
            ]
        )
        self.data.users += new
        self._relations |= relations
        peer_id = next(iter(relations))[1]
        self.subject = dataclasses.replace(self.subject, peer_id=peer_id, relate_id=relations[user_id, peer_id])


class Connections(Axis):
    """Connections to the proxy, with 64 requests in flight over all of them. With few connections one read returns many requests; from 64
    on each read returns one. So the step from 4 to 64 is the cost of that, and the rest is the cost of idle connections.
    """

    name = "connections"
    sizes = (4, 64, 1_000)
    quick_sizes = (4, 64, 256)
    measured = ("user info", "send")
    in_flight = 64

    def grow(self, size: int) -> None:
        """Do nothing: the load generator opens the connections."""


AXES: Mapping[str, type[Axis]] = {
    "history": History,
    "group": GroupSize,
    "users": Users,
    "unread": Unread,
    "connections": Connections,
}
"""By the name for the command line."""


def _analyze(connection: DBConn, *tables: str) -> None:
    """Update the statistics of the optimizer, which a database that grows slowly does by itself."""
    connection.select(f"analyze table {','.join(tables)}")
