"""Redis: pools of connections, commands and their replies."""

from dbproxy.stores.redis.commands import LARGEST, Argument, BrokenKey, CacheCommand, number, pairs, pipeline_name
from dbproxy.stores.redis.manager import CacheManager
from dbproxy.stores.redis.pool import CachePool

__all__ = ["LARGEST", "Argument", "BrokenKey", "CacheCommand", "CacheManager", "CachePool", "number", "pairs", "pipeline_name"]
