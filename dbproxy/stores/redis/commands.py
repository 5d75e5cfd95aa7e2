"""Redis commands: their bytes, and what their replies mean. Pure functions, any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from dbproxy.stores.backend_calls import Wait

Argument = bytes | str | int
CacheCommand = tuple[Argument, ...]

_WRONG_TYPE = "WRONGTYPE"
_NO_NUMBER = ("value is not an integer", "increment or decrement would overflow")  # of a string or of a field of a hash


def pack(commands: Sequence[CacheCommand]) -> bytes:
    """Return the bytes of a pipeline; hiredis packs a command at less than half the price, if it is installed. redis-py would send each
    command and each argument through several calls of its own, which is most of what a pipeline of small commands costs.
    """
    return b"".join(map(_pack_command, commands))


def _pack_plainly(command: CacheCommand) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _packer() -> Callable[[CacheCommand], bytes]:
    try:
        from hiredis import pack_command
    except ImportError:
        return _pack_plainly
    return cast("Callable[[CacheCommand], bytes]", pack_command)


_pack_command = _packer()


def pipeline_name(call: object) -> str:
    """Name a pipeline by its first command and the number of the others, without key or value. ``call``: the commands, or a ``Wait``."""
    if isinstance(call, Wait):
        return str(call)
    commands = cast("Sequence[CacheCommand]", call)
    name = str(commands[0][0])
    return name if len(commands) == 1 else f"{name} and {len(commands) - 1} more"


@dataclass(frozen=True, slots=True)
class BrokenKey:
    """The reply to a command that cannot work with what its key holds: no proxy has written that."""

    key: str
    why: str
    removal: CacheCommand
    """The command that takes away what is in the way."""

    @classmethod
    def from_error(cls, error: redis.ResponseError, command: CacheCommand) -> BrokenKey | None:
        """What is broken according to an error; None when the error says something else."""
        why = str(error)
        key = command[1]
        if why.startswith(_WRONG_TYPE):
            removal: CacheCommand = ("DEL", key)
        elif any(text in why for text in _NO_NUMBER):
            removal = ("HDEL", key, command[2]) if command[0] == "HINCRBY" else ("DEL", key)
        else:
            return None
        return cls(key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key), why, removal)

    def __str__(self) -> str:
        return f"{self.key} is broken ({self.why})"


_NO_MASTER = ("READONLY", "MASTERDOWN", "NOREPLICAS")
"""What replies of a server begin with that has not executed a command because it is a replica, or a master that has lost its replicas."""


def not_executed(commands: Sequence[CacheCommand], replies: Sequence[Any]) -> list[int]:
    """The places of those commands that the server has certainly not executed, because it is not the master any more: a block from MULTI
    to EXEC as a whole, which is executed as a whole or not at all.
    """
    places: list[int] = []
    block: int | None = None
    for place, (command, reply) in enumerate(zip(commands, replies, strict=True)):
        if command[0] == "MULTI":
            block = place
        elif block is None:
            if _is_no_master(reply):
                places.append(place)
        elif command[0] == "EXEC":
            aborted = isinstance(reply, redis.ResponseError)
            if aborted and any(_is_no_master(other) for other in replies[block : place + 1]):
                places += range(block, place + 1)
            block = None
    return places


def _is_no_master(reply: object) -> bool:
    if isinstance(reply, (redis.ReadOnlyError, redis.exceptions.MasterDownError)):
        return True
    return isinstance(reply, redis.ResponseError) and any(word in str(reply) for word in _NO_MASTER)


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn the flat reply of HGETALL into a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


LARGEST = 2**32 - 1
"""What the protocol's uint32 can say."""


def number(value: bytes | None) -> int:
    """Read a counter; what is not there or is no number counts as 0, nothing counts as less, and nothing as more than ``LARGEST``."""
    if value is None or not value.isdigit():
        return 0
    return int(value) if len(value) < 10 else min(int(value[:20]), LARGEST)
