"""Redis with replicas, watched by Sentinels: :class:`SentinelStack`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from dbproxy.errors import StartupError
from dbproxy.testing.private_server import REDIS_SERVER, find_program
from dbproxy.testing.servers import PrivateRedis
from dbproxy.testing.stack import POOLS, Stack
from dbproxy.testing.waiting import eventually, poll

SERVICE = "teamtalk"
"""The name of the service that the Sentinels of a stack watch."""

SETTLE_TIMEOUT = 60.0
"""Seconds in which the servers must have found each other, or a failover must be over."""

_REPLICATION = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
"""Replicas are in step soon after they were started."""


class PrivateSentinel(PrivateRedis):
    """A Sentinel with a configuration file of its own, which it rewrites, so that it knows after a restart what it knew before.

    ``lines`` are the lines of a new file; ``periods`` are for the command SENTINEL DEBUG, which Redis has from 7.0 on.
    """

    kind = "sentinel"

    def __init__(
        self, directory: Path, *, lines: Sequence[str], keep: bool | None = None, password: str | None = None, periods: Sequence[str] = ()
    ) -> None:
        super().__init__(directory, keep=keep, password=password)
        self._lines = tuple(lines)
        self._periods = tuple(periods)

    def masters_address(self) -> tuple[str, int] | None:
        """Return the address of the master that it names; None when it does not answer or knows none."""
        with contextlib.suppress(redis.RedisError), self.connect(timeout=2) as client:
            found = client.sentinel_get_master_addr_by_name(SERVICE)
            return None if found is None else (str(found[0]), int(found[1]))
        return None

    def state(self) -> dict[str, Any]:
        """Return what it knows of the service; empty when it does not answer."""
        with contextlib.suppress(redis.RedisError), self.connect(timeout=2) as client:
            return dict(client.sentinel_master(SERVICE))
        return {}

    def set_periods(self) -> None:
        """Let it look and tell more often than once in ten or two seconds, if its version can; that does not survive a restart."""
        with contextlib.suppress(redis.ResponseError), self.connect() as client:
            client.execute_command("SENTINEL", "DEBUG", *self._periods)

    def connect(self, db: int = 0, *, decode_responses: bool = True, timeout: float = 10) -> redis.Redis:
        """Return a client of this Sentinel, which has no databases, whatever ``db``; the caller closes it."""
        return super().connect(decode_responses=decode_responses, timeout=timeout)

    def _command(self, directory: Path) -> list[str]:
        path = directory / "sentinel.conf"
        if not path.exists():
            own = [f'requirepass "{self.password}"'] if self.password else []
            path.write_text("\n".join([f'dir "{directory}"', "protected-mode no", *own, *self._lines]) + "\n", encoding="utf-8")
        server = find_program(("redis-server", "valkey-server"), "redis-server", REDIS_SERVER)
        listen = ("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.unix_socket), "--unixsocketperm", "700")
        return [server, str(path), "--sentinel", *listen, "--daemonize", "no"]


class SentinelStack(Stack):
    """A stack whose Redis is a service of Sentinels: one master, ``replicas`` replicas, and ``sentinels`` Sentinels that watch them; the
    configurations name the Sentinels and the service, so a proxy follows every failover.

    ``sentinel_password`` sets requirepass of the Sentinels; ``down_after`` is the time in seconds after which a silent master counts as
    down. With ``quick`` the Sentinels look at the servers and tell each other of a new master about ten and four times as often as they
    would by default, so that a former master becomes a replica within 4 seconds and not within 20. ``redis_options`` are further
    options of the Redis servers. Not thread safe, except for what is so in :class:`Stack`.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        sentinel_password: str | None = None,
        down_after: float = 1.0,
        quick: bool = True,
        redis_options: Sequence[str] = (),
        **options: Any,  # noqa: ANN401 - those of Stack
    ) -> None:
        super().__init__(directory, **options)
        self._replicas = replicas
        self._sentinel_count = sentinels
        self._sentinel_password = sentinel_password
        self._down_after = down_after
        self._quick = quick
        self._redis_options = tuple(redis_options)
        self.redis_servers: list[PrivateRedis] = []
        """All Redis servers; which one is the master changes."""
        self.sentinels: list[PrivateSentinel] = []

    # for tests

    @property
    def service(self) -> str:
        """The name of the service."""
        return SERVICE

    def master(self) -> PrivateRedis:
        """Return the server that the Sentinels name as the master; LookupError when no Sentinel answers, or it names another server."""
        states = [state for sentinel in self.sentinels if sentinel.running and (state := sentinel.state())]
        newest = max(states, key=lambda state: int(state["config-epoch"]), default={})
        for server in self.redis_servers:
            if server.port == newest.get("port"):
                self.redis_server = server
                return server
        raise LookupError(f"no Sentinel names a master: {states}")

    def replicas(self) -> list[PrivateRedis]:
        """Return the servers that are not the master."""
        master = self.master()
        return [server for server in self.redis_servers if server is not master]

    def fail_over(self, *, settle: bool = True) -> PrivateRedis:
        """Have the Sentinels make a replica the master, as an operator does before maintenance, and return the new master. With ``settle``
        all others are its replicas on return; without, a second server may take writes for some seconds, as it is usual.
        """
        former = self.master()
        with next(sentinel for sentinel in self.sentinels if sentinel.running).connect() as client:
            for _ in range(5):  # a failover is given up when the replica cannot be told, because its connection is being made
                poll(lambda: _accepted(client), bool, SETTLE_TIMEOUT)
                if poll(self.master, lambda server: server is not former, SETTLE_TIMEOUT / 5) is not former:
                    break
        return self._await_successor(former, settle=settle)

    def kill_master(self, *, settle: bool = False) -> PrivateRedis:
        """Kill the master, wait until there is another one, and return it. The dead one is started by ``reset``, or by its ``start``; with
        ``settle`` the other replicas follow the new one on return.
        """
        former = self.master()
        former.kill()
        return self._await_successor(former, settle=settle)

    def reset_servers(self) -> None:
        """Start what was killed and resume what was frozen, and wait until all agree; what is stored is left alone."""
        self._repair()

    def settle(self) -> None:
        """Wait until the Sentinels agree on a master and know each other, and every other running server is a replica in step with it.

        Raises:
            StartupError: they do not get there in time.

        """
        if not eventually(lambda: not list(self._unsettled()), True, SETTLE_TIMEOUT):
            raise StartupError(f"the Sentinels do not agree: {'; '.join(self._unsettled())}")

    # how a stack of this topology is started

    def _start_servers(self, directory: Path) -> None:
        super()._start_servers(directory)
        for number in range(self._replicas):
            self.redis_servers.append(self._started(self._redis(directory / f"replica-{number}", self.redis_server)))
        with self.redis_server.connect() as master:
            eventually(lambda: int(master.info("replication")["connected_slaves"]), self._replicas, SETTLE_TIMEOUT)
        quorum = self._sentinel_count // 2 + 1
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.redis_server.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {int(self._down_after * 1000)}",
            f"sentinel failover-timeout {SERVICE} 5000",
            f"sentinel parallel-syncs {SERVICE} {max(1, self._replicas)}",
            *([f"sentinel auth-pass {SERVICE} {self._redis_password}"] if self._redis_password else []),
            *([f'sentinel sentinel-pass "{self._sentinel_password}"'] if self._sentinel_password else []),
        ]
        periods = ("info-period", "1000", "publish-period", "500")
        for number in range(self._sentinel_count):
            sentinel = PrivateSentinel(
                directory / f"sentinel-{number}", lines=lines, keep=self._keep, password=self._sentinel_password, periods=periods
            )
            self.sentinels.append(self._started(sentinel))
        self._hasten()
        self.settle()

    def _started_redis(self, directory: Path) -> PrivateRedis:
        self.redis_servers = []
        self.sentinels = []
        first = self._started(self._redis(directory / "redis", None))
        self.redis_servers.append(first)
        return first

    def _redis(self, directory: Path, master: PrivateRedis | None) -> PrivateRedis:
        follow = () if master is None else ("--replicaof", "127.0.0.1", str(master.port))
        login = ("--masterauth", self._redis_password) if self._redis_password else ()
        options = (*_REPLICATION, *login, *self._redis_options, *follow)
        return PrivateRedis(directory, persistent=self._persistent, password=self._redis_password, keep=self._keep, options=options)

    def _cache_keys(self, name: str) -> dict[str, object]:
        sentinels = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return {
            f"{name}_sentinels": sentinels,
            f"{name}_service": SERVICE,
            f"{name}_sentinel_password": self._sentinel_password,
            f"{name}_db": POOLS[name],
        }

    def _repair(self) -> None:
        super()._repair()
        self._hasten()
        self.settle()

    def _flush_caches(self) -> None:
        with self.master().connect() as client:
            client.flushall()

    def redis(self, pool: str = "unread", *, decode_responses: bool = True) -> redis.Redis:
        """See :meth:`Stack.redis`: of the server that is the master now."""
        return self.master().connect(POOLS[pool], decode_responses=decode_responses)

    # waiting

    def _hasten(self) -> None:
        for sentinel in self.sentinels:
            if self._quick and sentinel.running:
                sentinel.set_periods()

    def _await_successor(self, former: PrivateRedis, *, settle: bool) -> PrivateRedis:
        if poll(self.master, lambda server: server is not former, SETTLE_TIMEOUT) is former:
            raise StartupError(f"the Sentinels still name {former.address}")
        if settle:
            self.settle()
        return self.master()

    def _unsettled(self) -> Iterator[str]:
        """Yield a sentence for each server that is not what it should be."""
        running = [sentinel for sentinel in self.sentinels if sentinel.running]
        named = {sentinel.masters_address() for sentinel in running}
        if len(named) != 1 or None in named:
            yield f"they name {named}"
            return
        master = self.master()
        for sentinel in running:
            state = sentinel.state()
            known = state.get("num-other-sentinels"), state.get("num-slaves"), state.get("flags")
            if known != (self._sentinel_count - 1, self._replicas, "master"):
                yield f"Sentinel {sentinel.port} knows {known}"
        for server in self.redis_servers:
            if server is not master and server.running:
                follows: dict[str, Any] = {}
                with (
                    contextlib.suppress(redis.RedisError),
                    server.connect(timeout=2) as client,
                ):  # it ends connections when its role changes
                    follows = dict(client.info("replication"))
                if (follows.get("master_port"), follows.get("master_link_status")) != (master.port, "up"):
                    yield f"{server.address} is {follows}"


def _accepted(client: redis.Redis) -> bool:
    """Ask a Sentinel for a failover; it refuses while another one is going on, or no replica is good enough yet."""
    with contextlib.suppress(redis.ResponseError):
        client.execute_command("SENTINEL", "FAILOVER", SERVICE)  # type: ignore[no-untyped-call]
        return True
    return False
