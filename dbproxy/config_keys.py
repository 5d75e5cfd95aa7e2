"""The keys of dbproxyserver.conf: one table says for each its name, its place in ``Config``, its default and what is accepted.

Everything here is pure, except that a rule for files looks whether the file can be read; any thread may call it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WHOLE = re.compile(r"[0-9]{1,18}\Z")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")
# Names of containers and of hosts in private networks do contain underscores, whatever the RFC says.
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_SWITCH = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}

_GIB = 1 << 30

MAX_SOCKET_PATH = 107
"""Bytes of the path of a Unix socket that the system takes."""

SENTINEL_PORT = 26379
"""Where a Sentinel listens unless it is told otherwise."""

FILE_SUFFIX = "_file"
"""Behind the name of a key with a secret value: the path of a file that holds the value."""


class Refused(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """A value that a rule does not accept; the text is a remark for the operator and never holds the value itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a value is read: ``parse`` turns text into the value or raises ``ValueError``; ``accepts`` says what it takes."""

    accepts: str
    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file: ``field`` is the attribute that gets the value; ``default`` is text as in the file, None: must be given."""

    name: str
    field: str
    rule: Rule
    default: str | None = None
    secret: bool = False
    former_name: str = ""
    """What former versions called it: still accepted, with a warning."""
    restart: bool = False
    """Whether a change needs a restart (or an upgrade), because a reload does not apply it."""
    replaced_by: str = ""
    """The field of a key before it in its table that takes its place: where that one is given, this one must not be."""

    def complaint(self, name: str, value: str, remark: str = "") -> str:
        """Return a sentence about an unacceptable ``value`` of the key ``name``, without anything secret."""
        shown = name
        if not self.secret:
            # A URL may carry a password in front of the @.
            visible = "***" + value[value.rindex("@") :] if "@" in value else value
            shown = f"{name}={visible[:100]}"
        return f"{shown}: expected {self.rule.accepts}" + (f" ({remark})" if remark else "")


def _whole(low: int, high: int, what: str = "") -> Rule:
    def parse(value: str) -> int:
        if not _WHOLE.match(value) or not low <= int(value) <= high:
            raise Refused
        return int(value)

    return Rule(f"a whole number{what and ' of '}{what} from {low} to {high}", parse)


def _seconds(low: float, high: int) -> Rule:
    def parse(value: str) -> float:
        if not _SECONDS.match(value) or not low <= float(value) <= high:
            raise Refused
        return float(value)

    return Rule(f"seconds from {low:g} to {high}", parse)


def _parse_whole_seconds(value: str) -> float:
    if not _WHOLE.match(value) or not 1 <= int(value) <= 3600:
        raise Refused
    return float(value)


def _parse_host(value: str) -> str:
    if ":" in value:
        ipaddress.IPv6Address(value)
        return value
    labels = value.removesuffix(".").split(".")
    if labels[-1].isdigit():  # as in a URL: something that ends in a number is an address, never a name
        ipaddress.IPv4Address(value)
    elif len(value) > 253 or not all(_HOST_LABEL.match(label) for label in labels):
        raise Refused
    return value


def _parse_hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(_parse_host(part) for part in _split(value, ";")))
    if not hosts:
        raise Refused
    return hosts


def _parse_endpoint(value: str) -> tuple[str, int] | None:
    if value.lower() in ("", "off"):
        return None
    host, colon, port = value.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or in_brackets != (":" in host):
        raise Refused("the port is missing" if not colon else "an IPv6 address needs brackets")
    if not _WHOLE.match(port) or int(port) > 65535:
        raise Refused
    return _parse_host(host[1:-1] if in_brackets else host), int(port)


def _parse_host_list(value: str) -> tuple[tuple[str, int | None], ...]:
    hosts = tuple(dict.fromkeys(_parse_host_and_port(part) for part in _split(value, ",")))
    if not hosts:
        raise Refused
    return hosts


def _parse_host_and_port(value: str) -> tuple[str, int | None]:
    host, colon, port = value.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if value.startswith("[") and value.endswith("]"):
        return _parse_host(value[1:-1]), None
    if not colon or (":" in host and not in_brackets):
        return _parse_host(value), None  # perhaps an IPv6 address without a port
    if not _WHOLE.match(port) or not 1 <= int(port) <= 65535:
        raise Refused("a port is a whole number from 1 to 65535")
    return _parse_host(host[1:-1] if in_brackets else host), int(port)


def _parse_sentinels(value: str) -> tuple[tuple[str, int], ...]:
    return tuple((host, port or SENTINEL_PORT) for host, port in _parse_host_list(value)) if value else ()


def _parse_names(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_split(value, ",")))
    if not names:
        raise Refused
    return names


def _split(value: str, separators: str) -> list[str]:
    return [part.strip() for part in re.split(f"[{separators}]", value) if part.strip()]


def _parse_site(value: str) -> str:
    """Normalise the file server's address to an http(s) URL that ends in a slash."""
    if not re.fullmatch(r"[!-~]+", value):
        raise Refused
    if "://" not in value:
        try:
            value = f"http://[{ipaddress.IPv6Address(value)}]"
        except ValueError:
            value = f"http://{value}"
    url = urlsplit(value)
    if "@" in url.netloc:
        raise Refused("a user name or password in it is not supported")
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise Refused
    host = _parse_host(url.hostname)
    host = f"[{host}]" if ":" in host else host
    if url.port == 0:
        raise Refused
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{host}{port}{url.path.rstrip('/')}/"


def _parse_aes_key(value: str) -> str:
    if len(value) != 32 or len(value.encode()) != 32:
        raise Refused(f"it has {len(value)} characters, {len(value.encode())} bytes")
    return value


def _parse_networks(value: str) -> tuple[Network, ...]:
    # 10.0.0.5/8 is what people write for "the network of this machine", so set host bits are no mistake.
    return tuple(ipaddress.ip_network(part, strict=False) for part in _split(value, ",;"))


def _parse_switch(value: str) -> bool:
    return _choice(value, _SWITCH)


def _parse_level(value: str) -> str:
    return _choice(value, {level: level for level in ("debug", "info", "warning", "error")})


def _choice(value: str, choices: Mapping[str, _T]) -> _T:
    if value.lower() not in choices:
        raise Refused
    return choices[value.lower()]


def _parse_socket(value: str) -> str:
    if value.lower() in _SWITCH:
        if _SWITCH[value.lower()]:
            raise Refused("it needs a path")
        return ""
    if "\0" in value or len(os.fsencode(value)) > MAX_SOCKET_PATH:
        raise Refused(f"it has {len(os.fsencode(value))} bytes")
    return value


def _parse_word(value: str) -> str:
    if not value:
        raise Refused
    return value


def _parse_file(value: str) -> str | None:
    if not value:
        return None
    try:
        with Path(value).open("rb"):
            return value
    except OSError as error:
        raise Refused(error.strerror) from None


HOST = Rule("an IP address or a host name", _parse_host)
HOST_LIST = Rule("an IP address or a host name, or several as host[:port], ',' between them", _parse_host_list)
PORT = _whole(1, 65535)
POOL_SIZE = _whole(1, 10000, "connections")
ANY = Rule("any text, also an empty one", str)
WORD = Rule("a text that is not empty", _parse_word)
SWITCH = Rule("on or off", _parse_switch)
FILE = Rule("the path of a file", _parse_file)
TIMEOUT = _seconds(0.1, 3600)

REQUIRED_KEYS: tuple[Key, ...] = (
    Key("ListenIP", "listen_ips", Rule("IP addresses or host names, ';' between them", _parse_hosts), restart=True),
    Key("ListenPort", "listen_port", _whole(0, 65535), restart=True),
    Key("ThreadNum", "thread_num", _whole(1, 1024, "threads")),
    Key("MsfsSite", "msfs_site", Rule("host, host:port or an http(s) URL", _parse_site)),
    Key("aesKey", "aes_key", Rule("exactly 32 ASCII characters", _parse_aes_key), secret=True, restart=True),
)
"""Keys that every file must have; their meaning is the original's."""

OPTIONAL_KEYS: tuple[Key, ...] = (
    Key("MaxPduLength", "max_pdu_length", _whole(1024, _GIB, "bytes"), "16777216"),
    Key("HeartbeatInterval", "heartbeat_interval", TIMEOUT, "5"),
    Key("PeerTimeout", "peer_timeout", TIMEOUT, "30"),
    Key("StartTimeout", "start_timeout", _seconds(0, 3600), "60"),
    Key("StopGrace", "stop_grace", _seconds(0, 3600), "4"),
    Key("RequestTimeout", "request_timeout", TIMEOUT, "15"),
    Key("MaxWaitingRequests", "max_waiting_requests", _whole(1, 10_000_000, "requests"), "20000"),
    Key("MaxWaitingBytes", "max_waiting_bytes", _whole(1024, 64 * _GIB, "bytes"), "67108864"),
    Key("MaxSendBuffer", "max_send_buffer", _whole(1024, 64 * _GIB, "bytes"), "8388608"),
    Key("MaxSendBufferTotal", "max_send_buffer_total", _whole(1024, 64 * _GIB, "bytes"), "67108864"),
    Key("SendTimeout", "send_timeout", TIMEOUT, "30"),
    Key("MaxConnections", "max_connections", _whole(1, 1_000_000, "connections"), "10000"),
    Key("AllowedPeers", "allowed_peers", Rule("IP addresses and networks, ',' between them", _parse_networks), ""),
    Key("MaxBatchSize", "max_batch_size", _whole(1, 10000, "requests"), "64", former_name="RunLimit"),
    Key("MaxActiveBatches", "max_active_batches", _whole(1, 1024), "2", former_name="ActiveRuns"),
    Key("AudioThreads", "audio_threads", _whole(1, 1024, "threads"), "4"),
    Key("DBConnectTimeout", "db_connect_timeout", TIMEOUT, "3"),
    Key("DBTimeout", "db_timeout", TIMEOUT, "10"),
    # MySQL counts innodb_lock_wait_timeout in whole seconds, from 1.
    Key("DBLockTimeout", "db_lock_timeout", Rule("whole seconds from 1 to 3600", _parse_whole_seconds), "5"),
    Key("DBPoolTimeout", "db_pool_timeout", TIMEOUT, "5"),
    Key("MaxReplicaLag", "max_replica_lag", TIMEOUT, "5"),
    Key("CacheConnectTimeout", "cache_connect_timeout", TIMEOUT, "3"),
    Key("CacheTimeout", "cache_timeout", TIMEOUT, "5"),
    Key("CachePoolTimeout", "cache_pool_timeout", TIMEOUT, "5"),
    Key("FileServerTimeout", "file_server_timeout", TIMEOUT, "10"),
    Key("MaxAudioLength", "max_audio_length", _whole(1024, _GIB, "bytes"), "16777216"),
    Key("SyncInterval", "sync_interval", TIMEOUT, "5"),
    Key("AdminListen", "admin_listen", Rule("address:port (an IPv6 address in brackets), or off", _parse_endpoint), "off", restart=True),
    Key(
        "AdminSocket",
        "admin_socket",
        Rule(f"a path of at most {MAX_SOCKET_PATH} bytes, or off", _parse_socket),
        "dbproxy.sock",
        restart=True,
    ),
    Key("SlowRequest", "slow_request", _seconds(0, 3600), "0.5"),
    Key("LogFile", "log_file", ANY, ""),
    Key("LogLevel", "log_level", Rule("debug, info, warning or error", _parse_level), "info"),
)
"""Keys that a file may have; ``conf/dbproxyserver.conf`` explains each."""

REMOVED_KEYS: Mapping[str, str] = {
    "MaxSendBufferHard": "a peer that reads is not closed any more, whatever waits for it; see MaxSendBuffer and MaxSendBufferTotal",
}
"""Keys that former versions had, and why they have no effect; a file that still has one works, with a warning."""

NAMES = Rule("names, ',' between them", _parse_names)

DB_INSTANCES = Key("DBInstances", "db_instances", NAMES, restart=True)
CACHE_INSTANCES = Key("CacheInstances", "cache_instances", NAMES, restart=True)

TLS_KEYS: tuple[Key, ...] = (
    Key("_ssl", "on", SWITCH, "off"),
    Key("_ssl_ca", "ca", FILE, ""),
    Key("_ssl_cert", "cert", FILE, ""),
    Key("_ssl_key", "key", FILE, ""),
    Key("_ssl_verify", "verify", SWITCH, "on"),
)
"""Keys for TLS that every instance of either kind may have; the instance's name stands in front."""

DB_INSTANCE_KEYS: tuple[Key, ...] = (
    Key("_host", "hosts", HOST_LIST),
    Key("_port", "default_port", PORT),
    Key("_dbname", "dbname", WORD),
    Key("_username", "username", WORD),
    Key("_password", "password", ANY, "", secret=True),
    Key("_maxconncnt", "maxconncnt", POOL_SIZE),
)
"""Keys of each name in DBInstances; the instance's name stands in front."""

SENTINELS = Rule(f"host[:port] of each Sentinel, ',' between them (without a port: {SENTINEL_PORT})", _parse_sentinels)

CACHE_INSTANCE_KEYS: tuple[Key, ...] = (
    Key("_sentinels", "sentinels", SENTINELS, ""),
    Key("_service", "service", ANY, ""),
    Key("_sentinel_username", "sentinel_username", ANY, ""),
    Key("_sentinel_password", "sentinel_password", ANY, "", secret=True),
    Key("_host", "host", HOST, replaced_by="sentinels"),
    Key("_port", "port", PORT, replaced_by="sentinels"),
    Key("_cluster", "cluster", SWITCH, "off", replaced_by="sentinels"),
    Key("_db", "db", _whole(0, 1_000_000)),
    Key("_maxconncnt", "maxconncnt", POOL_SIZE),
    Key("_username", "username", ANY, ""),
    Key("_password", "password", ANY, "", secret=True),
)
"""Keys of each name in CacheInstances; the instance's name stands in front."""

CLUSTER_DB = Key(
    "_db", "db", Rule("0, or no such key, because a Redis Cluster (NAME_cluster=on) has no other database", _whole(0, 0).parse), "0"
)
"""What takes the place of ``_db`` in CACHE_INSTANCE_KEYS where ``_cluster`` is on."""
