"""dbproxyserver.conf → ``Config``: reads the file, checks every key, and reports all mistakes at once.

The format is the original's: lines ``key=value``, ``#`` starts a comment anywhere in a line, blanks around key and value are cut,
a line without ``=`` or without a value is ignored, and the first of two equal keys wins. What each key accepts stands in ``config_keys``,
where values can come from otherwise (command line, environment, files) in ``config_source``.
A ``Config`` is immutable: any thread may read it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbproxy.addresses import shown_address
from dbproxy.config_keys import (
    ADMIN_KEYS,
    CACHE_INSTANCE_KEYS,
    CACHE_INSTANCES,
    DB_INSTANCE_KEYS,
    DB_INSTANCES,
    FILE_SUFFIX,
    OPTIONAL_KEYS,
    REMOVED_KEYS,
    REQUIRED_KEYS,
    TLS_KEYS,
)
from dbproxy.config_reader import Reader, did_you_mean, names_by_former_name
from dbproxy.config_rules import Network
from dbproxy.config_source import Entries
from dbproxy.errors import ConfigError

REQUIRED_DB_INSTANCES = ("teamtalk_master", "teamtalk_slave")
REQUIRED_CACHE_INSTANCES = ("unread", "group_set", "token", "group_member")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS to a backend: paths of PEM files, None where not given; ``ca`` None: the system's authorities.

    ``verify``: check the server's certificate and that it is for the configured host.
    """

    ca: str | None
    cert: str | None
    key: str | None
    verify: bool


@dataclass(frozen=True, slots=True)
class DBInstance:
    """One MySQL pool: at most ``maxconncnt`` connections to a server; ``tls`` None: plain text."""

    name: str
    hosts: tuple[tuple[str, int | None], ...]
    """Host and port of each server; None: ``default_port``."""
    default_port: int
    dbname: str
    username: str
    password: str = field(repr=False)
    maxconncnt: int
    tls: TlsSettings | None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server, in the file's order, each once."""
        return tuple(dict.fromkeys((host, port or self.default_port) for host, port in self.hosts))

    @property
    def host(self) -> str:
        """The host of the first server."""
        return self.addresses[0][0]

    @property
    def port(self) -> int:
        """The port of the first server."""
        return self.addresses[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInstance:
    """One Redis pool: at most ``maxconncnt`` connections to database number ``db``; empty user name or password: none is sent. ``tls`` is
    for the Sentinels too.

    It is either at ``host`` and ``port``, or ``sentinels`` say where the master of ``service`` is, and then ``host`` is empty. ``cluster``:
    host and port are those of a node of a Redis Cluster, and ``maxconncnt`` is for each of its masters.
    """

    name: str
    host: str = ""
    port: int = 0
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel; none: the address is fixed."""
    service: str = ""
    """What the Sentinels call the servers that they watch."""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    db: int
    maxconncnt: int
    username: str
    password: str = field(repr=False)
    tls: TlsSettings | None
    cluster: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the configuration names for it."""
        return tuple(host for host, _ in self.sentinels) or (self.host,)

    @property
    def address(self) -> str:
        """Where it is according to the configuration, for messages."""
        if not self.sentinels:
            return shown_address(self.host, self.port)
        return f"service {self.service} of the Sentinels {', '.join(shown_address(*sentinel) for sentinel in self.sentinels)}"


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """What ``dbproxy-admin`` uses and the daemon does not."""

    data_dir: str
    """Directory of accounts, audit log and archives; relative: to the working directory."""
    read_messages: bool
    """Whether conversations may be read, searched and exported."""
    http_msg_server: str | None
    """URL of the HTTP interface of http_msg_server, ending in a slash; None: there is none."""
    web_listen: tuple[str, int] | None
    """Address and port of ``dbproxy-admin serve``; None: it does not start."""
    web_cert: str
    """Path of a PEM file with the certificate chain; empty: plain HTTP."""
    web_key: str
    """Path of a PEM file with its key; empty: it is in the file of the certificate."""
    web_session_timeout: float
    """Seconds without a request after which a person has to log in again."""
    web_trusted_proxies: tuple[Network, ...]
    """Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    web_hosts: tuple[str, ...]
    """Names, in lower case, under which browsers find the web application, besides those of the certificate and of this machine."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the file says, checked and with the defaults filled in. Durations are in seconds, lengths and buffers in bytes."""

    listen_ips: tuple[str, ...]
    listen_port: int
    """0: any free port."""
    thread_num: int
    msfs_site: str
    """URL of the file server, ending in a slash."""
    aes_key: str = field(repr=False)
    """32 ASCII characters."""
    db_instances: Mapping[str, DBInstance]
    cache_instances: Mapping[str, CacheInstance]

    max_pdu_length: int
    heartbeat_interval: float
    """The longest silence towards a peer before a heartbeat is sent."""
    peer_timeout: float
    """The longest silence of a peer before its connection is closed."""
    start_timeout: float
    """The longest wait, at the start, for backends that are not up yet."""
    stop_grace: float
    """The longest time between SIGTERM and exit."""
    request_timeout: float
    """A request that waited longer than this in the queue is refused; a lookup that took longer in all is given up."""
    max_waiting_requests: int
    """Above it reading from sockets pauses; likewise ``max_waiting_bytes``."""
    max_waiting_bytes: int
    max_send_buffer: int
    """Per connection: above it nothing more is read from that connection, and no replies are made for it."""
    max_send_buffer_total: int
    """All connections together: above it no replies are made for connections that have not taken all of theirs."""
    send_timeout: float
    max_connections: int
    allowed_peers: tuple[Network, ...]
    """Who may connect; empty: everyone."""
    max_batch_size: int
    """The most requests answered together."""
    max_active_batches: int
    audio_threads: int
    """The most sound uploads and downloads at once."""
    db_connect_timeout: float
    db_timeout: float
    """The longest wait for one statement."""
    db_lock_timeout: float
    """Whole seconds: innodb_lock_wait_timeout of our sessions."""
    db_pool_timeout: float
    max_replica_lag: float
    """How far a replica may be behind the master."""
    cache_connect_timeout: float
    cache_timeout: float
    cache_pool_timeout: float
    file_server_timeout: float
    max_audio_length: int
    sync_interval: float
    admin_listen: tuple[str, int] | None
    """Address and port of the HTTP endpoint for operators; None: there is none."""
    admin_socket: str
    """Path of the control socket; empty: none."""
    slow_request: float
    """A request that took longer in all is logged; 0: none is."""
    log_file: str
    """Empty: stderr."""
    log_level: str
    """debug, info, warning or error."""
    admin: AdminSettings

    unknown_keys: tuple[str, ...]
    """Keys of the file that nobody reads, in the file's order; see ``key_warnings``."""
    former_keys: tuple[str, ...]
    """Keys of the file that have other names now."""


def load_config(path: str | Path, overrides: Mapping[str, str] | None = None) -> Config:
    """Read and check the file at ``path``, with the keys in ``overrides`` (name → value as in the file) in place of the file's.

    Raises:
        ConfigError: with every mistake, or with the reason why the file cannot be read.

    """
    return parse_config(_read(path), source=str(path), overrides=overrides)


def load_optional_key(path: str | Path, name: str) -> Any:  # noqa: ANN401 - of whatever type the key has
    """Return the value of one key of ``OPTIONAL_KEYS``, or its default, although there may be mistakes in other keys.

    Raises:
        ConfigError: the file cannot be read, or the value cannot be used.

    """
    key = next(key for key in OPTIONAL_KEYS if key.name == name)
    reader = Reader(Entries(_read(path), str(path), {}), str(path), os.environ)
    values = reader.take([key])
    if reader.problems:
        raise ConfigError(reader.problems)
    return values[key.field]


def _read(path: str | Path) -> str:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    # Comments of old installations come in any encoding; only keys and values have to be UTF-8.
    return raw.decode("utf-8-sig", errors="surrogateescape")


def parse_config(
    text: str,
    source: str = "dbproxyserver.conf",
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Check ``text`` and ``overrides``; ``environ`` has the variables that values name (None: those of the process).

    Raises:
        ConfigError: with every mistake: where it stands, key, value as written (unless secret) and what is accepted. Keys of the text that
            nobody knows are no mistake (see ``key_warnings``), those of ``overrides`` are.

    """
    reader = Reader(Entries(text, source, overrides or {}), source, os.environ if environ is None else environ)
    values = reader.take(REQUIRED_KEYS + OPTIONAL_KEYS)
    values["db_instances"] = reader.take_instances(DB_INSTANCES, REQUIRED_DB_INSTANCES, DB_INSTANCE_KEYS, DBInstance, TlsSettings)
    values["cache_instances"] = reader.take_instances(
        CACHE_INSTANCES, REQUIRED_CACHE_INSTANCES, CACHE_INSTANCE_KEYS, CacheInstance, TlsSettings
    )
    admin = reader.take(ADMIN_KEYS)
    reader.check_pairs(values)
    if not reader.problems:  # a mistake in a list of instances would make unknown keys of theirs
        reader.refuse_unknown(overrides or {})
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(**values, admin=AdminSettings(**admin), unknown_keys=reader.unused(), former_keys=tuple(reader.former_keys))


def key_warnings(config: Config) -> list[str]:
    """Return one sentence for each key of the file that nobody reads (why, or which known key it looks like) or that is called otherwise
    now.
    """
    keys = [("", key) for key in (*REQUIRED_KEYS, *OPTIONAL_KEYS, *ADMIN_KEYS, DB_INSTANCES, CACHE_INSTANCES)]
    keys += [(name, key) for name in config.db_instances for key in DB_INSTANCE_KEYS + TLS_KEYS]
    keys += [(name, key) for name in config.cache_instances for key in CACHE_INSTANCE_KEYS + TLS_KEYS]
    known = [prefix + key.name for prefix, key in keys]
    known += [prefix + key.name + FILE_SUFFIX for prefix, key in keys if key.secret]
    names = names_by_former_name()
    warnings = [f"key {key} is called {names[key]} now; the former name still works" for key in config.former_keys]
    for key in config.unknown_keys:
        if key in names:
            warnings.append(f"key {key} is ignored: {names[key]}, as it is called now, is set as well")
        elif key in REMOVED_KEYS:
            warnings.append(f"key {key} has no effect any more: {REMOVED_KEYS[key]}")
        else:
            warnings.append(f"unknown key {key} is ignored" + did_you_mean(key, known))
    return warnings
