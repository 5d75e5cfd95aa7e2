"""Redis: pools of connections, commands and their replies."""

from dbproxy.stores.redis.commands import Argument, CacheCommand
from dbproxy.stores.redis.pool import LARGEST, BrokenKey, CacheManager, CachePool, number, pairs

__all__ = ["LARGEST", "Argument", "BrokenKey", "CacheCommand", "CacheManager", "CachePool", "number", "pairs"]
