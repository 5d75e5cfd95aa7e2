"""BackendFacts: asks the servers of all pools what they are, logs it, and keeps it for operators.

The log is told what is not promised on these servers: with level WARNING where a promise of ``docs/RELIABILITY.md`` does not hold, with
INFO otherwise. A thread of its own asks, with connections of the pools; no request waits for it, and the start no longer than
``START_PATIENCE``.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from dbproxy.errors import StoreError
from dbproxy.stores.mysql import DBManager, DBPool
from dbproxy.stores.mysql.facts import MySQLServer, read_server
from dbproxy.stores.mysql.promises import describe as describe_mysql
from dbproxy.stores.redis import CacheManager, CachePool
from dbproxy.stores.redis.facts import QUESTIONS, RedisServer
from dbproxy.stores.redis.facts import describe as describe_redis
from dbproxy.stores.server_facts import ServerFacts

logger = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0
"""Seconds between two looks whether a pool leads to another server than before."""

START_PATIENCE = 0.5
"""Seconds for which the start waits for the answers, so that they stand in the log before the line that says it is ready."""

LAST_JOIN = 0.3
"""Seconds for which the end waits for the thread: it may be waiting for a server, and ends with the process then."""

RETRY = 10.0
"""Seconds after which servers that did not answer are asked again."""

SETTLE = 30.0
"""Seconds after a failover until the servers are asked once more: replicas follow a new master only after a while."""

_Fingerprint = tuple[tuple[str, str, int], ...]
_Pool = TypeVar("_Pool")
_Answer = TypeVar("_Answer")


class BackendFacts:
    """What is known of the servers of all pools. ``check``, ``wait`` and ``stop`` belong to one thread; ``known`` may be read by any."""

    def __init__(self, databases: DBManager, caches: CacheManager) -> None:
        self._databases = databases
        self._caches = caches
        self._asked: _Fingerprint = ()
        self._silent = 0
        """Pools whose servers did not answer when they were asked last."""
        self._retry_at = 0.0
        self._settled_at = float("inf")
        self._told: dict[tuple[str, str, tuple[str, ...]], ServerFacts] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.known: Sequence[ServerFacts] = ()
        """All servers that have answered; replaced as a whole."""

    def check(self) -> None:
        """Ask again if pools lead to other servers than when they were asked last: at the start, after a reload, after a failover (and
        once more when it has settled). Does not block.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        now, moment = self._fingerprint(), time.monotonic()
        is_due = moment >= self._settled_at or (now != self._asked and moment >= self._retry_at)
        if self._stopping or not is_due:
            return
        self._thread = threading.Thread(target=self._ask, args=(now,), name="backend-facts", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            self._thread = None

    def wait(self, timeout: float) -> None:
        """Wait until what ``check`` has begun is done, ``timeout`` seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)

    def stop(self) -> None:
        """Begin nothing any more, and wait for the thread, ``LAST_JOIN`` seconds at most."""
        self._stopping = True
        self.wait(LAST_JOIN)

    def _fingerprint(self) -> _Fingerprint:
        """What changes when a pool gets another server."""
        databases = [(pool.name, pool.report().server, pool.failovers) for pool in self._databases.servers()]
        return tuple(databases + [(pool.name, pool.report().server, pool.restarts) for pool in self._caches.pools.values()])

    def _ask(self, fingerprint: _Fingerprint) -> None:
        """Thread: ask all servers, one after the other; one that does not answer hides no other."""
        found: list[ServerFacts] = []
        self._silent = 0
        for ask in (self._mysql, self._redis):
            try:
                found += self._told_once(ask())
            except Exception:
                logger.exception("what the servers are could not be found out")
        self.known = tuple(found)
        moment = time.monotonic()
        self._settled_at = moment + SETTLE if self._asked and fingerprint != self._asked else float("inf")
        if self._silent:
            self._retry_at = moment + RETRY
        else:
            self._asked = fingerprint

    def _answers(self, pools: Iterable[_Pool], ask: Callable[[_Pool], _Answer]) -> Iterator[tuple[_Pool, _Answer]]:
        """Yield the pools whose servers answer, with the answers."""
        for pool in pools:
            if self._stopping:
                return
            try:
                answer = ask(pool)
            except StoreError as error:
                self._silent += 1
                logger.debug("what a server is could not be asked: %s", error)
            else:
                yield pool, answer

    def _told_once(self, servers: Iterable[ServerFacts]) -> Iterator[ServerFacts]:
        """Log what is new of these servers, and yield them."""
        for facts in servers:
            server = (facts.kind, facts.server, facts.pools)
            if facts != self._told.get(server) and not self._stopping:
                self._told[server] = facts
                log_facts(facts)
            yield facts

    def _mysql(self) -> Iterator[ServerFacts]:
        """Yield the MySQL servers. Pools that lead to one server are told together."""
        servers: dict[tuple[str, ...], tuple[MySQLServer, str, list[str]]] = {}
        for pool, server in self._answers(self._databases.servers(), _ask_mysql):
            servers.setdefault(server.identity, (server, pool.report().server, []))[2].append(pool.name)
        for server, address, names in servers.values():
            following = [other for other, _, _ in servers.values() if other.follows(server)]
            # MySQL tells only privileged accounts who replicates from it
            known = server if server.replicas else dataclasses.replace(server, replicas=len(following) or server.replicas)
            yield describe_mysql(known, address, names)

    def _redis(self) -> Iterator[ServerFacts]:
        """Yield the Redis servers, likewise; a pool that Sentinels lead there is told apart from one with a fixed address."""
        servers: dict[tuple[str, bool, bool], tuple[RedisServer, str, list[str]]] = {}
        for pool, answers in self._answers(self._caches.pools.values(), self._ask_redis):
            for server, address in answers:
                key = server.identity or address, bool(pool.service), pool.is_cluster
                servers.setdefault(key, (server, address, []))[2].append(pool.name)
        for (_, sentinels, cluster), (server, address, names) in servers.items():
            yield describe_redis(server, address, names, sentinels=sentinels, cluster=cluster)

    def _ask_redis(self, pool: CachePool) -> list[tuple[RedisServer, str]]:
        """Ask all servers of a pool; of a cluster one that does not answer hides no other."""
        answers: list[tuple[RedisServer, str]] = []
        failure: StoreError | None = None
        for host, port in pool.addresses:
            try:
                answers.append((RedisServer.of(pool.ask_at((host, port), QUESTIONS)), f"{host}:{port}"))
            except StoreError as error:
                failure = error
                logger.debug("what a server is could not be asked: %s", error)
        if failure is not None:
            if not answers:
                raise failure
            self._silent += 1
        return answers


def _ask_mysql(pool: DBPool) -> MySQLServer:
    with pool.connection() as connection:
        return read_server(connection)


def log_facts(facts: ServerFacts) -> None:
    """Log a server and what is not promised on it."""
    logger.info("%s: %s", facts, facts.description)
    for limitation in facts.limitations:
        if limitation.breaks_promise:
            logger.warning("%s: not promised here: %s", facts.where, limitation.text)
        else:
            logger.info("%s: not promised here: %s", facts.where, limitation.text)
