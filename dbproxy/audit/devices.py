"""Device tokens: keys ``device_{user}`` and ``device_{token}`` that refer to nothing.

Two kinds of key share one prefix. A key of digits with a value that is not all digits is a user's; any other key with an empty value or
one of digits is a token's; where both are digits it is ambiguous and not reported. What the protocol leaves when a device gets
another user (an empty token, a token that belongs to another user) is correct.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbproxy.audit.finding import Finding, Severity
from dbproxy.audit.walk import PIPELINE, AuditBackends, batches, scan
from dbproxy.models import names
from dbproxy.stores.mysql import ReadablePool
from dbproxy.stores.mysql.literals import id_list

PREFIX = names.device_key(b"")
SHOWN = 8
"""Characters of a token that are shown: a complete token allows to send to the device."""

LONGEST_ID = 10


class Devices:
    """The keys of the token pool."""

    title = "device tokens"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends
        self._token = backends.caches.token

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        suspects: dict[bytes, None] = {}
        for keys in scan(self._token, PREFIX.decode() + "*"):
            suspects |= dict.fromkeys(self._check(keys, self._backends.slave))
        self._backends.wait_before_recheck(suspects)
        for batch in batches(suspects, PIPELINE):
            yield from self._check(batch, self._backends.master).values()

    def _check(self, keys: Sequence[bytes], database: ReadablePool) -> dict[bytes, Finding]:
        values = self._token.execute([("MGET", *keys)])[0]
        users: dict[bytes, bytes] = {}
        tokens: dict[bytes, bytes] = {}
        for key, value in zip(keys, values, strict=True):
            owner = key.removeprefix(PREFIX)
            if not value:
                continue  # deleted, or a token that is no longer used
            if _is_id(owner) and not value.isdigit():
                users[key] = value
            elif not _is_id(owner) or len(value) > LONGEST_ID:
                tokens[key] = value
        known = self._known(
            {*(key.removeprefix(PREFIX) for key in users), *(value for value in tokens.values() if _is_id(value))}, database
        )
        return self._about_users(users, known) | self._about_tokens(tokens, known)

    def _known(self, ids: set[bytes], database: ReadablePool) -> set[bytes]:
        if not ids:
            return set()
        return {user_id for (user_id,) in database.select(f"select id from IMUser where id in ({id_list(map(int, ids))})")}

    def _about_users(self, users: dict[bytes, bytes], known: set[bytes]) -> dict[bytes, Finding]:
        findings: dict[bytes, Finding] = {}
        pointed = {key: names.device_key(value.partition(b":")[2] or value) for key, value in users.items()}
        held = dict(zip(pointed, self._token.execute([("EXISTS", token_key) for token_key in pointed.values()]), strict=True))
        for key, token_key in pointed.items():
            user_id = key.removeprefix(PREFIX)
            if _bare(user_id) not in known:
                findings[key] = self._stale_key(key, users[key], f"there is no user {user_id.decode()}")
            elif not held[key] and token_key != PREFIX:
                findings[key] = Finding(
                    "device-token-lost",
                    Severity.MINOR,
                    _shown(key),
                    "the key of its token does not exist: a change of the user of the device is not noticed",
                    f"creates {_shown(token_key)} again",
                    lambda token_key=token_key, user_id=user_id: (  # type: ignore[misc]
                        "created it again" if self._token.execute([("SETNX", token_key, user_id)])[0] else None
                    ),
                )
        return findings

    def _about_tokens(self, tokens: dict[bytes, bytes], known: set[bytes]) -> dict[bytes, Finding]:
        findings: dict[bytes, Finding] = {}
        held = self._token.execute([("EXISTS", names.device_key(value)) for value in tokens.values()])
        for (key, value), exists in zip(tokens.items(), held, strict=True):
            if not _is_id(value):
                findings[key] = self._stale_key(key, value, "it does not hold a user id")
            elif _bare(value) not in known:
                findings[key] = self._stale_key(key, value, f"there is no user {value.decode()}")
            elif not exists:
                findings[key] = self._stale_key(key, value, f"the user {value.decode()} has no device")
        return findings

    def _stale_key(self, key: bytes, value: bytes, why: str) -> Finding:
        def drop() -> str | None:
            if self._token.execute([("MGET", key)])[0][0] != value:
                return None
            self._token.execute([("DEL", key)])
            return "deleted it"

        return Finding("device-of-nobody", Severity.MINOR, _shown(key), why, "deletes it", drop)


def _is_id(text: bytes) -> bool:
    return text.isdigit() and len(text) <= LONGEST_ID


def _bare(user_id: bytes) -> bytes:
    return b"%d" % int(user_id)


def _shown(key: bytes) -> str:
    owner = key.removeprefix(PREFIX)
    hidden = "" if _is_id(owner) or len(owner) <= SHOWN else "..."
    return ascii((PREFIX + (owner[:SHOWN] if hidden else owner)).decode(errors="backslashreplace"))[1:-1] + hidden
