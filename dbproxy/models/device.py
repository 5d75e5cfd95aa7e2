"""Device: the tokens with which the push server addresses the phones of users. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from dbproxy.models import names
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.stores.redis import CacheCommand, CachePool
from dbproxy.stores.redis.scan import scan_step

IOS, ANDROID = 17, 18
"""The ClientTypes of the protocol that receive pushes."""

_PREFIXES = {IOS: b"ios", ANDROID: b"android"}
_TYPES = {prefix: client_type for client_type, prefix in _PREFIXES.items()}

NIGHT_FROM, NIGHT_TO = 22, 7
"""First and last local hour in which an iOS user with a push shield receives no pushes."""

USERS_PER_COMMAND = 1000
"""Users whose tokens are read with one command."""


SCAN_COUNT = 1000
"""Keys that Redis examines in one step, at most."""

MAX_STEPS = 1000
"""Steps of a search for phones, at most."""

MAX_NODES = 1 << 10
"""Nodes of a Redis Cluster that a position can name."""

LONGEST_ID = 10
"""Digits of a user id."""


class DeviceToken(NamedTuple):
    """A phone: its user, type and token, and the number for its badge (of all messages that the user has not read)."""

    user_id: int
    client_type: int
    token: bytes
    push_count: int


class Phone(NamedTuple):
    """A user's phone as it is stored; ``client_type`` 0: of a client that gets no pushes."""

    user_id: int
    client_type: int
    token: bytes


class DeviceModel:
    """The keys ``device_{user}`` and ``device_{token}``."""

    def __init__(
        self,
        token: CachePool,
        users: UserModel,
        unread: UnreadModel,
        local_hour: Callable[[], int] = lambda: datetime.now().astimezone().hour,
    ) -> None:
        self._token = token
        self._users = users
        self._unread = unread
        self._local_hour = local_hour

    def register(self, user_id: int, token: bytes, client_type: int) -> None:
        """Store the token of a user's phone; the user's former token is no longer assigned to any user."""
        own_key = names.device_key(b"%d" % user_id)
        prefix = _PREFIXES.get(client_type)
        value = token if prefix is None else prefix + b":" + token
        former = self._token.read([("GET", own_key)])[0]
        commands = self._unassign(former)
        commands += [("SET", own_key, value), ("SET", names.device_key(token), user_id)]
        self._token.execute(commands)

    def forget(self, user_id: int) -> bool:
        """Remove the token of a user's phone, which gets no pushes then; False: there is none."""
        own_key = names.device_key(b"%d" % user_id)
        former = self._token.read([("GET", own_key)])[0]
        if former is None:
            return False
        self._token.execute([*self._unassign(former), ("DEL", own_key)])
        return True

    def _unassign(self, former: bytes | None) -> list[CacheCommand]:
        """What has to be done so that the token in a user's key is no longer assigned to any user."""
        if former and b":" in former:
            former_key = names.device_key(former.partition(b":")[2])
            if self._token.read([("STRLEN", former_key)])[0]:
                return [("SET", former_key, b"")]
        return []

    def phone_of(self, user_id: int) -> Phone | None:
        """The phone of a user; None when there is none."""
        value = self._token.read([("GET", names.device_key(b"%d" % user_id))])[0]
        return Phone(user_id, *_parsed(value)) if value else None

    def phones(self, position: int, limit: int) -> tuple[list[Phone], int | None]:
        """The phones of all users in the order of SCAN, from a position on, 0 at the beginning. Returns about ``limit``, or more if Redis
        finds more in one step, and the next position: None at the end. There may be few, or none, before the end, if Redis has many other
        keys: it examines at most ``MAX_STEPS`` times ``SCAN_COUNT`` of them. A phone that is there all the time is found, perhaps twice.
        """
        found: dict[int, Phone] = {}
        cursor, node = divmod(position, MAX_NODES)
        count = min(limit, SCAN_COUNT)
        addresses = sorted(self._token.addresses)
        for _ in range(MAX_STEPS):
            if node >= len(addresses):
                return list(found.values()), None
            cursor, keys = scan_step(self._token, addresses[node], cursor, names.device_key(b"*"), count)
            found |= {phone.user_id: phone for phone in self._phones_at(keys)}
            if not cursor:
                node += 1
            if len(found) >= limit:
                break
            count = min(2 * count, SCAN_COUNT)
        return list(found.values()), (cursor * MAX_NODES + node if node < len(addresses) else None)

    def _phones_at(self, keys: Sequence[bytes]) -> Iterator[Phone]:
        """The phones at those keys that are of users and not of tokens: of digits, with a value that is not all digits."""
        start = len(names.device_key(b""))
        of_users = [key for key in keys if key[start:].isdigit() and len(key) - start <= LONGEST_ID]
        values = self._token.execute([("MGET", *of_users)])[0] if of_users else ()
        for key, value in zip(of_users, values, strict=True):
            if value and not value.isdigit():
                yield Phone(int(key[start:]), *_parsed(value))

    def tokens(self, user_ids: Iterable[int]) -> dict[int, DeviceToken]:
        """The phones of those of the users that have one and receive pushes at this hour, in text order of the user ids."""
        phones: dict[int, tuple[int, bytes]] = {}
        asked = iter(dict.fromkeys(user_ids))
        while batch := list(islice(asked, USERS_PER_COMMAND)):
            values = self._token.execute([("MGET", *(names.device_key(b"%d" % user_id) for user_id in batch))])[0]
            for user_id, value in zip(batch, values, strict=True):
                client_type, token = _parsed(value or b"")
                if client_type:
                    phones[user_id] = (client_type, token)
        for user_id in self._shielded([user_id for user_id, (client_type, _) in phones.items() if client_type == IOS]):
            del phones[user_id]
        if not phones:
            return {}
        unread = self._unread.totals(phones)
        return {user_id: DeviceToken(user_id, *phones[user_id], unread[user_id]) for user_id in sorted(phones, key=str)}

    def _shielded(self, user_ids: list[int]) -> list[int]:
        """Those of the users that receive no pushes at this hour."""
        if not user_ids or NIGHT_TO < self._local_hour() < NIGHT_FROM:
            return []
        shields = self._users.push_shields(user_ids)
        return [user_id for user_id in user_ids if shields.get(user_id) == 1]


def _parsed(value: bytes) -> tuple[int, bytes]:
    """The client type (0: none that receives pushes) and the token in the value of a user's key."""
    prefix, separator, token = value.partition(b":")
    return (_TYPES[prefix], token) if separator and prefix in _TYPES else (0, value)
