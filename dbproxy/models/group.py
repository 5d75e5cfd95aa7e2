"""Group: lists and properties of groups, and who has muted them. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.mysql import ReadPool, Row
from dbproxy.stores.redis import CacheCommand, CachePool, number

NORMAL, TEMPORARY = 1, 2
"""GroupType of the protocol."""

IDS_PER_QUERY = 1000
"""Groups of a list that are looked up with one query."""

GROUPS_PER_PIPELINE = 100
"""Groups whose members are read with one round trip; a group may have thousands."""

USERS_PER_COMMAND = 1000
"""Fields that are read of one hash with one command."""

_UPDATED = 6


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """The public properties of a group; the name and the avatar are the bytes that the database has."""

    group_id: int
    version: int
    name: bytes
    avatar: bytes
    creator: int
    group_type: int
    members: Sequence[int]


class GroupModel:
    """IMGroup and ``group_set_{group}``. Groups are created and changed by GroupWriter."""

    def __init__(self, slave: ReadPool, group_set: CachePool, members: GroupMembers) -> None:
        self._slave = slave
        self._group_set = group_set
        self._members = members

    def normal_groups(self, user_ids: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """(group id, version) of each user's normal groups, last updated first."""
        groups = self._members.groups_for_users(user_ids)
        group_ids = {group_id for ids in groups.values() for group_id in ids}
        if not group_ids:
            return {user_id: [] for user_id in user_ids}
        among = ",".join(map(str, group_ids))
        rows = self._slave.select(f"select id,version from IMGroup where id in ({among}) and type={NORMAL} order by updated desc")
        versions = [(int(group_id), int(version)) for group_id, version in rows]
        lists: dict[int, list[tuple[int, int]]] = {}
        for user_id, ids in groups.items():
            own = set(ids)
            lists[user_id] = [entry for entry in versions if entry[0] in own]
        return lists

    def changed(self, wanted: Sequence[Iterable[tuple[int, int]]]) -> tuple[list[list[int]], Iterator[GroupInfo]]:
        """For each list of (group id, version that the client has): the ids of the existing groups with a higher version, last updated
        first; and the properties of all of these groups, each once, without those that have no members.

        However long the lists are, the memory is bounded by the groups that exist; ``IDS_PER_QUERY`` ids are looked up at a time.

        Raises:
            StoreError: a backend failed, also while the groups are iterated over.

        """
        rows: dict[int, Row] = {}
        client_versions: list[dict[int, int]] = [{} for _ in wanted]
        entries: Iterator[tuple[int, int, int]] = (
            (index, group_id, version) for index, of_one in enumerate(wanted) for group_id, version in of_one
        )
        largest: int | None = None
        while portion := list(islice(entries, IDS_PER_QUERY)):
            if largest is None and len(portion) == IDS_PER_QUERY:  # of so many ids, most may not exist
                largest = int(self._slave.select("select ifnull(max(id),0) from IMGroup")[0][0])
                entries = _up_to(largest, entries)
            rows |= self._info_rows({group_id for _, group_id, _ in portion} - rows.keys())
            for index, group_id, version in portion:
                if group_id in rows:
                    client_versions[index][group_id] = version
        order = sorted(rows, key=lambda group_id: -int(rows[group_id][_UPDATED]))
        changed = [
            [group_id for group_id in order if group_id in versions and int(rows[group_id][1]) > versions[group_id]]
            for versions in client_versions
        ]
        listed = set(chain.from_iterable(changed))
        return changed, self._infos([row for group_id, row in rows.items() if group_id in listed])

    def _info_rows(self, group_ids: Collection[int]) -> dict[int, Row]:
        if not group_ids:
            return {}
        among = ",".join(map(str, sorted(group_ids)))
        rows = self._slave.select(
            f"select id,version,name,avatar,creator,type,updated from IMGroup where id in ({among}) and type in ({NORMAL},{TEMPORARY}) "
            "order by updated desc"
        )
        return {int(row[0]): row for row in rows}

    def _infos(self, rows: Sequence[Row]) -> Iterator[GroupInfo]:
        """Yield the properties of groups; the members of ``GROUPS_PER_PIPELINE`` of them are in memory at a time."""
        for start in range(0, len(rows), GROUPS_PER_PIPELINE):
            portion = rows[start : start + GROUPS_PER_PIPELINE]
            members = self._members.get_many(int(row[0]) for row in portion)
            for row in portion:
                group_id = int(row[0])
                if group_id in members:
                    yield GroupInfo(group_id, int(row[1]), row[2], row[3], int(row[4]), int(row[5]), members[group_id])

    def shield(self, user_id: int, group_id: int, status: int) -> bool:
        """Mute or unmute a group for a user; False when they are not in it. The group must exist."""
        if self._members.join_times([(group_id, user_id)])[0] is None:
            return False
        self._group_set.write_or_reset([("HSET", names.group_set_key(group_id), names.shield_field(user_id), status)])
        return True

    def shields(self, wanted: Sequence[tuple[int, Sequence[int]]]) -> list[list[int]]:
        """For each group and list of users: the users' mute status, 0 when unset."""
        statuses: list[list[int]] = [[] for _ in wanted]
        portions = (
            (index, group_id, users[start : start + USERS_PER_COMMAND])
            for index, (group_id, users) in enumerate(wanted)
            for start in range(0, len(users), USERS_PER_COMMAND)
        )
        while batch := list(islice(portions, GROUPS_PER_PIPELINE)):
            commands: list[CacheCommand] = [
                ("HMGET", names.group_set_key(group_id), *map(names.shield_field, users)) for _, group_id, users in batch
            ]
            for (index, _, users), reply in zip(batch, self._group_set.read(commands), strict=True):
                statuses[index] += [number(status) for status in reply or [None] * len(users)]
        return statuses


def _up_to(largest: int, entries: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """The entries (index, group id, version) with a group id of at most ``largest``."""
    return (entry for entry in entries if entry[1] <= largest)
