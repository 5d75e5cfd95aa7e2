"""What is examined of Redis."""

from dbproxy.doctor.redis.caches import check_caches

__all__ = ["check_caches"]
