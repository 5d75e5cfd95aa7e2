"""StagedMembers: writes the hash of a group's members in a cluster with several writers, where no lock covers commit and hash. Any thread.

On one server who writes the hash holds the group's named lock from before reading the rows until the hash is written. Proxies on different
nodes have no such lock: a proxy may read the rows, and write them as a hash when another one has changed them meanwhile; it may also freeze
or die at any moment. So a hash is written in two steps, and both rows and hash are ordered by the lock row of the group (``lock_rows``):

- Who writes a hash changes the lock row, reads the rows, *stages* them (a hash of its own, whose name is added to a set), commits, and
  *publishes* them after that: RENAME makes the staged hash the group's. It does nothing if the staged hash is not there any more.
- Who changes members changes the lock row, changes the rows, *discards* the hash and all staged ones, and commits after that.

So after a change was committed no hash without it is there, or comes. The cluster commits two transactions that have changed the same lock
row one after the other, the second of them having seen the first. If the change was first, the rows that were staged have it. If the
change was second, it changed the lock row when the staging transaction was committed; so it found what that one had staged, and discarded
it, or the hash that it had been published as. Nobody needs to go on living for that: without a hash the next lookup writes it anew.

What is staged expires, because its proxy may have died. Its names contain ``{group_member_N}``, so that in a Redis Cluster all keys of a
group are on one node.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from dbproxy.models import names
from dbproxy.stores.redis import CacheCommand, CachePool

EXPIRES = 60
"""Seconds after which a staged hash cannot be published any more. The set of their names lives twice as long."""


class StagedMembers:
    """Writes the hashes ``group_member_{group}``; see above. All methods raise StoreError when Redis fails."""

    def __init__(self, cache: CachePool) -> None:
        self._cache = cache

    def stage(self, group_id: int, fields: Mapping[bytes, bytes]) -> bytes:
        """Keep these members, at least one, for ``publish``, and return the token under which they are kept. In a transaction that has
        changed the lock row, and has read them after that.
        """
        token = secrets.token_hex(8)
        listed, key = names.staged_members_key(group_id), names.staged_members_key(group_id, token)
        self._cache.execute(
            [
                ("MULTI",),
                ("SADD", listed, token),
                ("EXPIRE", listed, 2 * EXPIRES),
                ("HSET", key, *(argument for field in fields.items() for argument in field)),
                ("EXPIRE", key, EXPIRES),
                ("EXEC",),
            ]
        )
        return token.encode()

    def publish(self, group_id: int, token: bytes) -> None:
        """Make what was staged the group's hash, unless it was discarded. After the transaction was committed."""
        hash_key, key = names.group_member_key(group_id), names.staged_members_key(group_id, token.decode())
        restarts = self._cache.restarts
        self._cache.execute(
            [("MULTI",), ("RENAME", key, hash_key), ("PERSIST", hash_key), ("SREM", names.staged_members_key(group_id), token), ("EXEC",)]
        )
        if self._cache.restarts != restarts:  # it may be a staged hash out of a snapshot, which had been discarded
            self._cache.execute([("DEL", hash_key)])

    def discard(self, group_id: int) -> None:
        """Delete the hash of a group and all that is staged. In a transaction that has changed the lock row, before its commit."""
        listed = names.staged_members_key(group_id)
        tokens: list[bytes] = self._cache.read([("SMEMBERS", listed)])[0] or []
        keys = [names.staged_members_key(group_id, token.decode(errors="replace")) for token in tokens]
        commands: list[CacheCommand] = [("MULTI",), ("DEL", names.group_member_key(group_id), listed, *keys), ("EXEC",)]
        self._cache.execute(commands)
