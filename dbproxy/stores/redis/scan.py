"""One step through the keys of a Redis: what tools page through or walk over; the daemon does neither. Any thread."""

from __future__ import annotations

import redis

from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.redis.pool import CachePool


def scan_step(pool: CachePool, address: tuple[str, int], cursor: int, pattern: str | bytes, count: int) -> tuple[int, list[bytes]]:
    """Return the next cursor of a server (0: it was the last step; a scan begins with 0) and the matching keys among about ``count`` that
    it has examined. A key may come twice. SCAN does not block Redis.

    Raises:
        StoreUnavailableError: the server does not answer or refuses.

    """
    reply = pool.ask_at(address, [("SCAN", cursor, "MATCH", pattern, "COUNT", count)])[0]
    if isinstance(reply, redis.ResponseError):
        raise StoreUnavailableError(f"{pool}: {reply}") from reply
    following, keys = reply
    return int(following), keys
