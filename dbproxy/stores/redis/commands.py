"""Pipelines of Redis commands: their bytes, and the replies that have arrived. redis-py takes several calls of its own for each command and
each reply; these go past them. Any thread; a connection belongs to one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.connection import Connection

Argument = bytes | str | int
CacheCommand = tuple[Argument, ...]


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


def take_arrived(connection: Connection, replies: list[Any], wanted: int) -> redis.ResponseError | None:
    """Append the replies that have arrived with the first one, straight from hiredis if it is installed: redis-py takes several calls
    of its own for each. Returns the last refusal among them.
    """
    take = getattr(getattr(connection._parser, "_reader", None), "gets", None)
    refused = None
    while take is not None and len(replies) < wanted:
        reply = take()
        if reply is NOT_ENOUGH_DATA:
            break
        if isinstance(reply, Exception):
            if not isinstance(reply, redis.ResponseError):  # the server is loading its data, or does not know us any more
                raise reply
            refused = reply
        replies.append(reply)
    return refused
