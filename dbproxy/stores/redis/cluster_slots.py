"""Redis Cluster without I/O: which node has which slot, which slot a command belongs to, and what replies mean. Pure, any thread.

The rules are those of the Redis Cluster specification: 16384 slots, the CRC16 of a key (of its part in braces, if it has one) says which,
and a node executes no command whose slot it does not serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from dbproxy.stores.redis.commands import CacheCommand

Address = tuple[str, int]
"""Host and port of a node, as the cluster announces them."""

SLOTS = REDIS_CLUSTER_HASH_SLOTS

NOT_EXECUTED = (
    redis.exceptions.AskError,  # MovedError is one of them
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,  # MasterDownError is one of them
    redis.ReadOnlyError,
    redis.BusyLoadingError,
)
"""Replies that say that the node has not executed the command, but that it, or another one, would."""

_BY_CODE = {
    "MOVED": redis.exceptions.MovedError,
    "ASK": redis.exceptions.AskError,
    "TRYAGAIN": redis.exceptions.TryAgainError,
    "CLUSTERDOWN": redis.exceptions.ClusterDownError,
    "MASTERDOWN": redis.exceptions.MasterDownError,
}
"""What an error of a node begins with → its exception."""

_WITHOUT_KEY = frozenset({"PING", "INFO", "SCAN", "CLUSTER", "CONFIG"})
_NO_REPLICAS: Mapping[Address, Address] = {}


class Topology:
    """The nodes of a cluster as one of them described them. ``owners`` may be changed slot by slot; the rest is immutable."""

    def __init__(
        self, owners: list[Address | None], replicas: Mapping[Address, Address] = _NO_REPLICAS, epoch: int = 0, *, works: bool = True
    ) -> None:
        self.owners = owners
        """By slot; None: no node serves it."""
        self.replicas = replicas
        """Replica → its master."""
        self.epoch = epoch
        """The number that the cluster raises whenever a replica takes over, and at times when slots move; 0: not known."""
        self.works = works
        """Whether the node that was asked takes commands; False for one that has lost the majority."""
        self.masters = tuple(sorted({owner for owner in owners if owner is not None}))
        """Those that serve slots."""

    @classmethod
    def unknown(cls) -> Topology:
        """Of a cluster that nobody has asked yet."""
        return cls([None] * SLOTS)

    @classmethod
    def from_replies(cls, slots: Any, info: Any, asked: Address) -> Topology:  # noqa: ANN401 - what Redis has replied
        """Read the replies to CLUSTER SLOTS and CLUSTER INFO of the node ``asked``; the latter may be an error.

        Raises:
            redis.InvalidResponse: they are no such replies.

        """
        owners: list[Address | None] = [None] * SLOTS
        replicas: dict[Address, Address] = {}
        try:
            for first, last, master, *others in slots:
                address = _announced(master, asked)
                owners[first : last + 1] = [address] * (last + 1 - first)
                replicas.update((_announced(other, asked), address) for other in others)
        except (TypeError, ValueError, IndexError) as error:
            raise redis.InvalidResponse("the reply to CLUSTER SLOTS cannot be understood") from error
        facts = _facts(info)
        return cls(owners, replicas, int(facts.get(b"cluster_current_epoch", b"0")), works=facts.get(b"cluster_state", b"ok") == b"ok")

    @property
    def unserved(self) -> int:
        """How many slots no node serves."""
        return self.owners.count(None)

    @property
    def nodes(self) -> set[Address]:
        """All nodes that are known."""
        return {*self.masters, *self.replicas}


def _announced(node: Sequence[Any], asked: Address) -> Address:
    """The address of a node in CLUSTER SLOTS: a node that does not know its own is where it was asked (``?``: it is to announce a host name
    and has none).
    """
    host, port = node[0], int(node[1])
    return (asked[0] if host in (None, b"", b"?") else host.decode()), port


def _facts(info: object) -> dict[bytes, bytes]:
    if not isinstance(info, bytes):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(b":") for line in info.splitlines())}


def recognized(reply: Any) -> Any:  # noqa: ANN401 - whatever Redis has replied
    """Return a reply, and of an error of a cluster its exception: redis-py knows these outside of its own cluster client only in newer
    releases.
    """
    if type(reply) is not redis.ResponseError:
        return reply
    code, _, rest = str(reply).partition(" ")
    return _BY_CODE[code](rest) if code in _BY_CODE else reply


def redirected(error: redis.exceptions.AskError, asked: Address) -> Address:
    """Where a MOVED or ASK sends the command; without a host it is that of the node which was asked."""
    return (error.host if error.host not in ("", "?") else asked[0]), error.port


def slot_of(command: CacheCommand) -> int:
    """The slot of a command's key, which is its first argument; of a command without a key the first slot, so that it goes to some node."""
    if len(command) == 1 or command[0] in _WITHOUT_KEY:
        return 0
    key = command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


class Plan:
    """The commands of one pipeline as they are sent to nodes: an MGET becomes one for each key, MULTI … EXEC stays together."""

    def __init__(self, commands: Sequence[CacheCommand]) -> None:
        self.blocks: dict[int, int] = {}
        """Where a MULTI stands → how many commands belong to it, EXEC included; of all others each stands alone."""
        self._lengths: list[int | None] | None = None
        """Of each command that was asked for: how many MGETs take its place, None: it stands there itself. None: all do."""
        self.commands = commands
        if any(command[0] == "MGET" for command in commands):
            parts = [[("MGET", key) for key in command[1:]] if command[0] == "MGET" else [command] for command in commands]
            self._lengths = [len(part) if command[0] == "MGET" else None for command, part in zip(commands, parts, strict=True)]
            self.commands = [command for part in parts for command in part]
        self.slots = [slot_of(command) for command in self.commands]
        if ("MULTI",) in self.commands:
            self._keep_blocks_together()

    def _keep_blocks_together(self) -> None:
        """Give every command of a transaction the slot of its first key."""
        start = None
        for index, command in enumerate(self.commands):
            if command[0] == "MULTI":
                start = index
            elif command[0] == "EXEC" and start is not None:
                size = index + 1 - start
                self.blocks[start] = size
                self.slots[start : index + 1] = [self.slots[start + 1]] * size
                start = None

    def by_owner(self, owners: Sequence[Address | None], places: Iterable[int] | None = None) -> dict[Address | None, list[int]]:
        """The places of the commands, or of those of them at ``places``, by the node that has their slot, in order."""
        found: dict[Address | None, list[int]] = {}
        slots = self.slots
        for place in range(len(slots)) if places is None else places:
            found.setdefault(owners[slots[place]], []).append(place)
        return found

    def answers(self, replies: list[Any]) -> list[Any]:
        """The replies to what was asked for, from those to ``commands``."""
        if self._lengths is None:
            return replies
        answers, rest = [], iter(replies)
        for length in self._lengths:
            if length is None:
                answers.append(next(rest))
                continue
            values = [next(rest) for _ in range(length)]
            refusal = next((value for value in values if isinstance(value, Exception)), None)
            answers.append([value for (value,) in values] if refusal is None else refusal)
        return answers
