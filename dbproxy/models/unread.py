"""Unread: how many messages users have not read, by sender and by group. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.redis import LARGEST, Argument, CacheCommand, CachePool, number

FIELDS_PER_SCAN = 1000
"""Senders that are read with one command; of a hash with few fields the reply has all, as that of HGETALL."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What one user has not read; only what is more than 0."""

    senders: Mapping[int, int]
    """Sender of one-to-one messages → count."""
    groups: Mapping[int, int]
    """Group → count, the group whose membership changed last first."""


class UnreadModel:
    """Reads the hash ``unread_{user}`` and the two counters whose difference is unread in a group."""

    def __init__(self, unread: CachePool, members: GroupMembers) -> None:
        self._unread = unread
        self._members = members

    def for_users(self, user_ids: Iterable[int]) -> dict[int, Unread]:
        """What each of these users has not read: one round trip to MySQL and one to Redis, however many users there are; more for a user
        with unread messages from more than ``FIELDS_PER_SCAN`` senders.
        """
        unread: dict[int, Unread] = {}
        for user_id, scanned, in_groups in self._read("HSCAN", (0, "COUNT", FIELDS_PER_SCAN), user_ids):
            cursor, flat = scanned or (b"0", ())
            senders = _counts(flat)
            while cursor != b"0":
                cursor, flat = self._unread.read([("HSCAN", names.unread_key(user_id), cursor, "COUNT", FIELDS_PER_SCAN)])[0] or (b"0", ())
                senders |= _counts(flat)
            unread[user_id] = Unread(senders, in_groups)
        return unread

    def totals(self, user_ids: Iterable[int]) -> dict[int, int]:
        """How many messages each of these users has not read, at most ``LARGEST``; at the same cost as ``for_users``."""
        counts = self._read("HVALS", (), user_ids)
        return {user_id: min(sum(map(number, single)) + sum(in_groups.values()), LARGEST) for user_id, single, in_groups in counts}

    def _read(
        self, hash_command: str, arguments: tuple[Argument, ...], user_ids: Iterable[int]
    ) -> Iterator[tuple[int, Any, dict[int, int]]]:
        """Yield for each user the reply to ``hash_command`` about their unread counters, and what they have not read in their groups."""
        memberships = self._members.groups_for_users(dict.fromkeys(user_ids))
        group_ids = list(dict.fromkeys(group_id for groups in memberships.values() for group_id in groups))
        commands: list[CacheCommand] = [(hash_command, names.unread_key(user_id), *arguments) for user_id in memberships]
        fields = (names.COUNT_FIELD, names.READ_BY_ALL_FIELD)
        commands += [("HMGET", names.group_count_key(group_id), *fields) for group_id in group_ids]
        commands += [
            ("HGET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD)
            for user_id, groups in memberships.items()
            for group_id in groups
        ]
        replies = iter(self._unread.read(commands))
        hashes = [next(replies) or () for _ in memberships]
        counters = {group_id: tuple(map(number, next(replies) or (None, None))) for group_id in group_ids}
        for (user_id, groups), single in zip(memberships.items(), hashes, strict=True):
            in_groups: dict[int, int] = {}
            for group_id in groups:
                count, read_by_all = counters[group_id]
                difference = count - max(number(next(replies)), read_by_all)  # why: group_counter_recovery.py
                if difference > 0:
                    in_groups[group_id] = difference
            yield user_id, single, in_groups


def _counts(flat: Sequence[bytes]) -> dict[int, int]:
    """Sender → count, of those that are more than 0, from fields and values in turn."""
    entries = iter(flat)
    return {number(peer): count for peer, text in zip(entries, entries, strict=True) if (count := number(text))}
