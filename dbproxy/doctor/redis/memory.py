"""Memory and persistence of one Redis: what it loses when it is full, and when it restarts. One thread."""

from __future__ import annotations

from collections.abc import Mapping

from dbproxy.doctor.finding import Level, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis.access import Server
from dbproxy.stores.redis.facts import LOSSES, RedisServer

_ALMOST_FULL = 0.9


def check(server: Server, info: Mapping[str, str], subject: Subject, pool: str) -> None:
    """Examine memory and persistence of the server of a pool that the proxy uses."""
    loss, comes_back = LOSSES[pool]
    _check_memory(info, subject, loss, comes_back)
    _check_persistence(server, info, subject, loss, comes_back)
    _check_saving(info, subject)


def _check_memory(info: Mapping[str, str], subject: Subject, loss: str, comes_back: bool) -> None:
    limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    policy = info.get("maxmemory_policy", "noeviction")
    if RedisServer(info).evicts:
        # Without a limit nothing is evicted yet; that the policy would do harm is worth knowing before somebody sets one.
        level = Level.INFO if not limit or comes_back else Level.ERROR
        condition = "once maxmemory is set and reached, keys are evicted" if not limit else "when the memory is full, keys are evicted"
        subject.add(
            level,
            Kind.EVICTION,
            f"maxmemory-policy is {policy}, maxmemory {limit or 'unlimited'}: {condition}. Lost is then: {loss}",
            "CONFIG SET maxmemory-policy noeviction, also in redis.conf; and memory enough",
        )
    else:
        subject.ok(Kind.EVICTION, f"maxmemory-policy is {policy}: no key of the proxy is evicted, for none has an expiry")
    if limit and used > _ALMOST_FULL * limit:
        subject.warning(
            Kind.MEMORY,
            f"{used} of {limit} bytes (maxmemory) are used: when it is full, writes are refused (OOM) or keys evicted, and no message "
            "gets an id",
            "raise maxmemory, or find out what fills it (redis-cli --bigkeys)",
        )


def _check_persistence(server: Server, info: Mapping[str, str], subject: Subject, loss: str, comes_back: bool) -> None:
    if info.get("aof_enabled") == "1":
        synced = server.setting("appendfsync")
        lost = {"always": "nothing", "no": "what the system has not written yet, up to half a minute"}.get(synced or "", "the last second")
        subject.ok(Kind.PERSISTENCE, f"append-only file, appendfsync {synced or 'unknown'}: a crash of its machine loses {lost}")
        return
    save = server.setting("save")
    if save is None and info.get("rdb_saves", "0") == "0":
        subject.info(
            Kind.PERSISTENCE,
            "no append-only file; whether snapshots are made is not known, because the account may not use CONFIG GET. With a "
            "restart may be "
            f"lost: {loss}",
            "look for 'save' and 'appendonly' in redis.conf",
        )
    elif save == "":
        subject.add(
            Level.INFO if comes_back else Level.WARNING,
            Kind.PERSISTENCE,
            f"no persistence: with every restart of Redis is lost: {loss}",
            "CONFIG SET appendonly yes, also in redis.conf (appendfsync everysec costs little)",
        )
    else:
        subject.info(
            Kind.PERSISTENCE,
            f"snapshots only (save {save or 'unknown'}): with a crash is lost what was written after the last one: {loss}",
            "CONFIG SET appendonly yes, also in redis.conf, if that matters",
        )


def _check_saving(info: Mapping[str, str], subject: Subject) -> None:
    failed = RedisServer(info).cannot_save
    if failed:
        subject.error(
            Kind.SAVING,
            f"it cannot write to its disk ({', '.join(failed)}): it refuses writes then (MISCONF), or loses data with a restart",
            "look into its log; space and permissions of its directory",
        )
    if info.get("loading") == "1":
        subject.warning(Kind.SAVING, "it is still loading its data: until then it refuses everything", "wait, and run this again")
