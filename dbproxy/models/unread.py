"""Unread: how many messages users have not read, of people and of groups. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dbproxy.models import names
from dbproxy.models.group import GroupModel
from dbproxy.stores.cache import LARGEST, CachePool, number, pairs
from dbproxy.stores.pipeline import CacheCommand


@dataclass(frozen=True, slots=True)
class Unread:
    """What one user has not read; only what is more than 0."""

    people: Mapping[int, int]
    """Sender → count."""
    groups: Mapping[int, int]
    """Group → count, the group whose membership changed last first."""

    @property
    def total(self) -> int:
        """All of it, as far as the protocol can say it."""
        return min(sum(self.people.values()) + sum(self.groups.values()), LARGEST)


class UnreadModel:
    """Reads the hash ``unread_{user}`` and the two counters whose difference is unread in a group."""

    def __init__(self, unread: CachePool, groups: GroupModel) -> None:
        self._unread = unread
        self._groups = groups

    def of(self, user_ids: Iterable[int]) -> dict[int, Unread]:
        """What each of these users has not read: one round trip to MySQL and one to Redis, however many there are.

        Raises:
            StoreError: a backend cannot be asked.

        """
        groups_of = self._groups.groups_of(dict.fromkeys(user_ids))
        group_ids = list(dict.fromkeys(group_id for groups in groups_of.values() for group_id in groups))
        commands: list[CacheCommand] = [("HGETALL", names.unread_key(user_id)) for user_id in groups_of]
        fields = (names.COUNT_FIELD, names.READ_BY_ALL_FIELD)
        commands += [("HMGET", names.group_count_key(group_id), *fields) for group_id in group_ids]
        commands += [
            ("HGET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD)
            for user_id, groups in groups_of.items()
            for group_id in groups
        ]
        replies = iter(self._unread.look(commands))
        people = {
            user_id: {number(peer): count for peer, text in pairs(next(replies) or ()).items() if (count := number(text))}
            for user_id in groups_of
        }
        counters = {group_id: tuple(map(number, next(replies) or (None, None))) for group_id in group_ids}
        unread: dict[int, Unread] = {}
        for user_id, groups in groups_of.items():
            in_groups: dict[int, int] = {}
            for group_id in groups:
                count, read_by_all = counters[group_id]
                difference = count - max(number(next(replies)), read_by_all)  # why: lost_counters.py
                if difference > 0:
                    in_groups[group_id] = difference
            unread[user_id] = Unread(people[user_id], in_groups)
        return unread
