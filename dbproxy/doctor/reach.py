"""Why a backend cannot be reached, read from the chain of errors that the stores raise. Pure functions."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pymysql
import redis
from pymysql.constants import CR, ER

from dbproxy.doctor.finding import Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.stores.mysql.errors import error_code
from dbproxy.stores.redis.sentinels import UnknownServiceError
from dbproxy.stores.redis.service_master import NoMasterError
from dbproxy.stores.tls import is_tls_refusal

_NO_LOGIN = {ER.ACCESS_DENIED_ERROR, 1698, 1862, 3118, 4151}
"""Wrong password, a plugin that refuses, an expired password, a locked account (MySQL, MariaDB)."""
_NO_DATABASE = {ER.DBACCESS_DENIED_ERROR, ER.BAD_DB_ERROR}
_NO_CONNECTION = {ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED}
_HOST_REFUSED = {ER.HOST_IS_BLOCKED, ER.HOST_NOT_PRIVILEGED}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what caused it, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def report_failure(subject: Subject, error: BaseException, keys: str) -> None:
    """Add a finding for an ``error`` that ended a login. ``keys``: the beginning of the configuration's keys, such as ``unread_``."""
    kind, remedy = _diagnosis(error, keys)
    subject.error(kind, subject.foreign(error), remedy)


def _diagnosis(error: BaseException, keys: str) -> tuple[Kind, str]:
    for cause in chain(error):
        found = _network(cause, keys)
        if found is None and isinstance(cause, pymysql.err.Error):
            found = _mysql(error_code(cause), keys)
        if found is None and isinstance(cause, redis.RedisError):
            found = _redis(cause, keys)
        if found is not None:
            return found
    if is_tls_refusal(error):
        return _tls(keys)
    return Kind.UNREACHABLE, f"check {keys}host and {keys}port, and look into the log of that server"


def _network(error: BaseException, keys: str) -> tuple[Kind, str] | None:
    if isinstance(error, socket.gaierror):
        return Kind.HOST_UNKNOWN, f"check {keys}host; the name must be in /etc/hosts or in the DNS that /etc/resolv.conf names"
    if is_tls_refusal(error) and isinstance(error, OSError):
        return _tls(keys)
    if isinstance(error, ConnectionRefusedError):
        return Kind.UNREACHABLE, f"nothing listens there: start the server, check {keys}host and {keys}port, and the server's bind address"
    if isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)):
        return Kind.UNREACHABLE, f"no answer: the host is down, a firewall drops the packets, or {keys}host or {keys}port is wrong"
    return None


def _tls(keys: str) -> tuple[Kind, str]:
    return Kind.TLS, f"check {keys}ssl_ca (who has signed the server's certificate) and that the certificate names {keys}host"


def _mysql(code: int, keys: str) -> tuple[Kind, str] | None:
    if code in _NO_LOGIN:
        return (
            Kind.LOGIN,
            f"check {keys}username and {keys}password, and that the account may come from this host (CREATE USER, ALTER USER)",
        )
    if code in _NO_DATABASE:
        return Kind.DATABASE, f"check {keys}dbname; create the database and load conf/schema.sql, or grant the account access to it"
    if code in _NO_CONNECTION:
        return Kind.NO_CONNECTION, "the server or the account has no connection left: raise max_connections, or look who holds them"
    if code in _HOST_REFUSED:
        return Kind.LOGIN, "the server refuses this host: create the account for it, or run FLUSH HOSTS if it is blocked"
    if code == CR.CR_SSL_CONNECTION_ERROR:
        return _tls(keys)
    return None


def _redis(error: redis.RedisError, keys: str) -> tuple[Kind, str] | None:
    if isinstance(error, UnknownServiceError):
        return Kind.SENTINELS, f"check {keys}service; SENTINEL MASTERS on one of {keys}sentinels lists the names"
    if isinstance(error, NoMasterError):
        return Kind.SENTINELS, f"wait for the failover if one goes on; check {keys}sentinels, and SENTINEL MASTER on each of them"
    text = str(error).lower()
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)) or "auth" in text:
        if "the Sentinel" in str(error):
            return Kind.LOGIN, f"check {keys}sentinel_username and {keys}sentinel_password (requirepass or ACL of the Sentinel)"
        return Kind.LOGIN, f"check {keys}username and {keys}password (requirepass or ACL of the server)"
    if "cluster support disabled" in text:
        return Kind.ROLE, f"it is no node of a Redis Cluster: leave {keys}cluster out, or name a node"
    if "cluster" in text:
        return Kind.ROLE, f"{keys}cluster=on, and no {keys}db: it is a node of a Redis Cluster (docs/HOWTO-REDIS-CLUSTER.md)"
    if "max number of clients" in text:
        return Kind.NO_CONNECTION, "raise maxclients of the server, or look who holds the connections (CLIENT LIST)"
    if "db index" in text:
        return Kind.DATABASE, f"{keys}db is above what the server has: raise its setting 'databases', or choose a lower number"
    if "noperm" in text or "no permissions" in text:
        return Kind.COMMANDS, "the account may not do what the start needs: ACL SETUSER ... +ping +info +select"
    if "misconf" in text:
        return Kind.SAVING, "the server cannot save to its disk: look into its log; space and permissions of its directory"
    if "select" in text:
        return Kind.ROLE, f"{keys}db cannot be selected: is it a Redis server, and not Sentinel or a cluster?"
    return None
