"""Device: the tokens with which the push server addresses the phones of users. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from dbproxy.models import names
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.stores.redis import CacheCommand, CachePool

IOS, ANDROID = 17, 18
"""The ClientTypes of the protocol that receive pushes."""

_PREFIXES = {IOS: b"ios", ANDROID: b"android"}
_TYPES = {prefix: client_type for client_type, prefix in _PREFIXES.items()}

NIGHT_FROM, NIGHT_TO = 22, 7
"""First and last local hour in which an iOS user with a push shield receives no pushes."""

USERS_PER_COMMAND = 1000
"""Users whose tokens are read with one command."""


class DeviceToken(NamedTuple):
    """A phone: its user, type and token, and the number for its badge (of all messages that the user has not read)."""

    user_id: int
    client_type: int
    token: bytes
    push_count: int


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

    def tokens(self, user_ids: Iterable[int]) -> dict[int, DeviceToken]:
        """The phones of those of the users that have one and receive pushes at this hour, in text order of the user ids."""
        phones: dict[int, tuple[int, bytes]] = {}
        asked = iter(dict.fromkeys(user_ids))
        while batch := list(islice(asked, USERS_PER_COMMAND)):
            values = self._token.execute([("MGET", *(names.device_key(b"%d" % user_id) for user_id in batch))])[0]
            for user_id, value in zip(batch, values, strict=True):
                prefix, separator, token = (value or b"").partition(b":")
                if separator and prefix in _TYPES:
                    phones[user_id] = (_TYPES[prefix], token)
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
