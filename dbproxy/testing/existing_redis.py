"""A numbered database on a Redis server that somebody else runs: :class:`ExistingRedis`.

Keys that are not ours are never touched: a database with keys is refused, unless a test run has left its mark there within a day. One run
at a time has it: a key with the run's id, which expires soon after the run has ended, however it ends.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from typing import TYPE_CHECKING

import redis

from dbproxy.errors import StartupError
from dbproxy.testing.existing_servers import MARK, MARK_KEY, ExistingServer, NotYetError, ServerUrl, worker_number
from dbproxy.testing.observe import BACKGROUND_KEYS
from dbproxy.testing.servers import PrivateRedis

if TYPE_CHECKING:
    from typing_extensions import Self

LEASE_KEY = "dbproxy.testing.run"
"""Holds the id of the run that uses the database now."""

OWN_KEYS = (MARK_KEY, LEASE_KEY)
"""Keys of the harness itself."""

MARK_SECONDS = 86400
"""So long after an interrupted run its keys are known to be ours."""

_STARTING = (redis.ConnectionError, redis.TimeoutError)


class ExistingRedis(ExistingServer, PrivateRedis):
    """A numbered database on a Redis server that runs already; all pools share it, because their keys do not collide. The server cannot be
    killed, frozen or restarted: that raises NotOursError.
    """

    lease_seconds: float = 20
    """So long after a run was killed the database still counts as used; a thread renews that while the run lasts."""

    def __init__(self, url: str, *, per_worker: bool = True, run: str | None = None) -> None:
        """``url``: ``redis://[user][:password@]host:port/number``; with pytest-xdist the number of the worker is added, unless
        ``per_worker`` is false. Those with the same ``run`` do not exclude each other; None: a new one.
        """
        super().__init__()
        self._url = ServerUrl("redis", url)
        number = self._url.name or "0"
        if not number.isdigit():
            raise StartupError(f"the URL of the redis server for tests must end in the number of a database, not in {number[:50]}")
        self.number = int(number) + ((worker_number() or 0) if per_worker else 0)
        self.user, self.password = self._url.user, self._url.password or None
        self._run = run or secrets.token_hex(8)
        self._closed = threading.Event()
        self._renewal: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the database has been claimed."""
        return self._renewal is not None

    def start(self) -> Self:
        """Claim the database; StartupError when it cannot be used, holds what is not ours, or another run uses it. A server that is still
        starting is waited for.
        """
        if self._renewal is None:
            self._patiently(self._attempt)
            self._closed.clear()
            self._renewal = threading.Thread(target=self._renew, name="redis lease", daemon=True)
            self._renewal.start()
        return self

    def connect(self, db: int = 0, *, decode_responses: bool = True, timeout: float = 10) -> redis.Redis:
        """Return a client of the one database, whatever ``db``; see PrivateRedis."""
        return self._client(self.number, decode_responses=decode_responses, timeout=timeout, username=self.user or None)

    def flush(self) -> None:
        """Remove all keys but those of the harness; StartupError when another run has the database now, because this one stood still."""
        with self.connect() as client:
            self._keep_lease(client, flush=True)

    def close(self) -> None:
        """Leave the database empty, unless another run has it now."""
        renewal, self._renewal = self._renewal, None
        if renewal is None:
            return
        self._closed.set()
        renewal.join()
        with contextlib.suppress(redis.RedisError, StartupError), self.connect() as client:
            self._keep_lease(client, flush=True)
            client.delete(*OWN_KEYS)

    def _attempt(self) -> None:
        try:
            with self.connect() as client:
                self._claim(client)
        except redis.RedisError as error:
            starting = isinstance(error, _STARTING) and not isinstance(error, redis.AuthenticationError)
            kind = NotYetError if starting else StartupError
            raise kind(f"the database {self.number} of Redis at {self._url} cannot be used for tests: {error}") from None

    def _claim(self, client: redis.Redis) -> None:
        if client.get(LEASE_KEY) != self._run and not client.set(LEASE_KEY, self._run, nx=True, px=self._lease_ms):
            self._refuse_other_run(client)
        # a proxy that runs already has written the keys of its background work
        known = BACKGROUND_KEYS.union(OWN_KEYS)
        if client.get(MARK_KEY) != MARK and (client.dbsize() > len(known) or set(client.keys()) - known):
            client.delete(LEASE_KEY)
            raise StartupError(
                f"the database {self.number} of Redis at {self._url} is not empty and was not made by these tests, which would empty it; "
                "name another one, or empty it yourself if nobody needs it: "
                f"redis-cli -h {self._url.host} -p {self._url.port} -n {self.number} FLUSHDB"
            )
        client.set(MARK_KEY, MARK, ex=MARK_SECONDS)

    def _renew(self) -> None:
        """Keep the lease until the end. While the server does not answer, another run cannot take it, either."""
        while not self._closed.wait(self.lease_seconds / 4):
            with contextlib.suppress(redis.RedisError, StartupError), self.connect() as client:
                self._keep_lease(client, flush=False)

    def _keep_lease(self, client: redis.Redis, *, flush: bool) -> None:
        with client.pipeline() as pipeline:
            while True:
                pipeline.watch(LEASE_KEY)  # type: ignore[no-untyped-call]
                if pipeline.get(LEASE_KEY) not in (self._run, None):
                    self._refuse_other_run(client)
                pipeline.multi()
                if flush:
                    pipeline.flushdb()
                pipeline.set(MARK_KEY, MARK, ex=MARK_SECONDS)
                pipeline.set(LEASE_KEY, self._run, px=self._lease_ms)
                try:
                    pipeline.execute()
                except redis.WatchError:  # the other thread has renewed it
                    continue
                return

    @property
    def _lease_ms(self) -> int:
        return int(self.lease_seconds * 1000)

    def _refuse_other_run(self, client: redis.Redis) -> None:
        seconds = max(client.pttl(LEASE_KEY), 0) / 1000
        raise StartupError(
            f"the database {self.number} of Redis at {self._url} is used by another test run (if that one was killed, it is free again in "
            f"{seconds:.0f} s)"
        )
