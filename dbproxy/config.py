"""dbproxyserver.conf → ``Config``: reads the file, checks every key, and reports all mistakes at once.

The format is the original's: lines ``key=value``, ``#`` starts a comment anywhere in a line, blanks around key and value are cut,
a line without ``=`` or without a value is ignored, and the first of two equal keys wins. What each key accepts stands in ``config_keys``.
A ``Config`` is immutable: any thread may read it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dbproxy.config_keys import (
    CACHE_INSTANCE_KEYS,
    CACHE_INSTANCES,
    DB_INSTANCE_KEYS,
    DB_INSTANCES,
    OPTIONAL_KEYS,
    REMOVED_KEYS,
    REQUIRED_KEYS,
    TLS_KEYS,
    Key,
    Network,
    Refused,
)
from dbproxy.errors import ConfigError

REQUIRED_DB_INSTANCES = ("teamtalk_master", "teamtalk_slave")
REQUIRED_CACHE_INSTANCES = ("unread", "group_set", "token", "group_member")

# A lower bound above its upper bound, or a lock wait that outlasts the wait for its statement, makes no sense.
_NOT_ABOVE = (("MaxSendBuffer", "MaxSendBufferTotal"),)
_BELOW = (("DBLockTimeout", "DBTimeout"),)


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
    """One MySQL pool: at most ``maxconncnt`` connections; ``tls`` None: plain text."""

    name: str
    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)
    maxconncnt: int
    tls: TlsSettings | None


@dataclass(frozen=True, slots=True)
class CacheInstance:
    """One Redis pool: at most ``maxconncnt`` connections to database number ``db``; empty user name or password: none is sent."""

    name: str
    host: str
    port: int
    db: int
    maxconncnt: int
    username: str
    password: str = field(repr=False)
    tls: TlsSettings | None


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
    cache_connect_timeout: float
    cache_timeout: float
    cache_pool_timeout: float
    file_server_timeout: float
    max_audio_length: int
    sync_interval: float
    log_file: str
    """Empty: stderr."""
    log_level: str
    """debug, info, warning or error."""

    unknown_keys: tuple[str, ...]
    """Keys of the file that nobody reads, in the file's order; see ``key_warnings``."""
    former_keys: tuple[str, ...]
    """Keys of the file that have other names now."""


def load_config(path: str | Path) -> Config:
    """Read and check the file at ``path``; raises ``ConfigError`` with every mistake, or with the reason why it cannot be read."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    # Comments of old installations come in any encoding; only keys and values have to be UTF-8.
    return parse_config(raw.decode("utf-8-sig", errors="surrogateescape"), source=str(path))


def parse_config(text: str, source: str = "dbproxyserver.conf") -> Config:
    """Check ``text``; raises ``ConfigError`` with every mistake: ``source``, line, key, value (unless secret) and what is accepted."""
    reader = _Reader(text, source)
    values = reader.take(REQUIRED_KEYS + OPTIONAL_KEYS)
    values["db_instances"] = reader.take_instances(DB_INSTANCES, REQUIRED_DB_INSTANCES, DB_INSTANCE_KEYS, DBInstance)
    values["cache_instances"] = reader.take_instances(CACHE_INSTANCES, REQUIRED_CACHE_INSTANCES, CACHE_INSTANCE_KEYS, CacheInstance)
    reader.check_pairs(values)
    if reader.problems:
        raise ConfigError(reader.problems)
    return Config(**values, unknown_keys=reader.unused(), former_keys=tuple(reader.former_keys))


def key_warnings(config: Config) -> list[str]:
    """Return one sentence for each key of the file that nobody reads (why, or which known key it looks like) or that is called otherwise
    now.
    """
    known = [key.name for key in (*REQUIRED_KEYS, *OPTIONAL_KEYS, DB_INSTANCES, CACHE_INSTANCES)]
    known += [name + key.name for name in config.db_instances for key in DB_INSTANCE_KEYS + TLS_KEYS]
    known += [name + key.name for name in config.cache_instances for key in CACHE_INSTANCE_KEYS + TLS_KEYS]
    by_lower = {name.lower(): name for name in known}
    names = {key.former_name: key.name for key in OPTIONAL_KEYS if key.former_name}
    warnings = [f"key {key} is called {names[key]} now; the former name still works" for key in config.former_keys]
    for key in config.unknown_keys:
        if key in names:
            warnings.append(f"key {key} is ignored: {names[key]}, as it is called now, is set as well")
            continue
        if key in REMOVED_KEYS:
            warnings.append(f"key {key} has no effect any more: {REMOVED_KEYS[key]}")
            continue
        near = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0.75)
        warnings.append(f"unknown key {key} is ignored" + (f"; did you mean {by_lower[near[0]]}?" if near else ""))
    return warnings


class _Reader:
    """Takes the values of known keys out of a text and collects the problems on the way."""

    def __init__(self, text: str, source: str) -> None:
        self.problems: list[str] = []
        self.former_keys: list[str] = []
        self._source = source
        self._entries: dict[str, tuple[int, str]] = {}
        self._empty: dict[str, int] = {}
        self._used: set[str] = set()
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            name, equals, value = line.partition("#")[0].partition("=")
            name, value = name.strip(), value.strip()
            if equals and name and value:
                self._entries.setdefault(name, (number, value))
            elif equals and name:
                self._empty.setdefault(name, number)

    def take(self, keys: Iterable[Key], prefix: str = "") -> dict[str, Any]:
        """Return field → value for those of ``keys`` that are in order; the others become problems."""
        values: dict[str, Any] = {}
        for key in keys:
            self._take_one(key, prefix + key.name, values)
        return values

    def _take_one(self, key: Key, name: str, values: dict[str, Any]) -> None:
        if name not in self._entries and key.former_name in self._entries:
            name = key.former_name
            self.former_keys.append(name)
        if name not in self._entries:
            if key.default is None and name in self._empty:
                self._complain(self._empty[name], f"{name} has no value: expected {key.rule.accepts}")
            elif key.default is None:
                self.problems.append(f"{self._source}: {name} is missing: expected {key.rule.accepts}")
            else:
                values[key.field] = key.rule.parse(key.default)
            return
        self._used.add(name)
        number, value = self._entries[name]
        try:
            value.encode()
            values[key.field] = key.rule.parse(value)
        except UnicodeEncodeError:
            self._complain(number, f"{name}: the value is not UTF-8")
        except ValueError as error:
            # Only our own remarks are fit to be shown: the texts of other errors repeat the value.
            remark = str(error) if isinstance(error, Refused) else ""
            self._complain(number, key.complaint(name, value, remark))

    def _complain(self, number: int, sentence: str) -> None:
        self.problems.append(f"{self._source}:{number}: {sentence}")

    def take_instances(self, names_key: Key, required: Iterable[str], keys: tuple[Key, ...], kind: type[Any]) -> Mapping[str, Any]:
        """Return name → ``kind`` for the instances that ``names_key`` lists."""
        names: tuple[str, ...] = self.take([names_key]).get(names_key.field, ())
        if names:
            lacking = [name for name in required if name not in names]
            if lacking:
                number, value = self._entries[names_key.name]
                self._complain(number, f"{names_key.name}={value}: {', '.join(lacking)} must be in the list")
        instances: dict[str, Any] = {}
        for name in names:
            before = len(self.problems)
            values = self.take(keys, prefix=name)
            tls = self._take_tls(name)
            if len(self.problems) == before:
                instances[name] = kind(name=name, tls=tls, **values)
        return MappingProxyType(instances)

    def _take_tls(self, name: str) -> TlsSettings | None:
        values = self.take(TLS_KEYS, prefix=name)
        if values.get("key") and not values.get("cert"):
            self._complain(self._entries[f"{name}_ssl_key"][0], f"{name}_ssl_key: needs {name}_ssl_cert")
        # Who names a certificate wants TLS, unless the switch says otherwise.
        wanted = values.pop("on", False) or (f"{name}_ssl" not in self._entries and any(values.get(pem) for pem in ("ca", "cert", "key")))
        if not wanted or len(values) != len(TLS_KEYS) - 1:
            return None
        return TlsSettings(**values)

    def check_pairs(self, values: Mapping[str, Any]) -> None:
        """Compare keys that limit each other."""
        fields = {key.name: key.field for key in OPTIONAL_KEYS}
        for pairs, relation in ((_NOT_ABOVE, "at most"), (_BELOW, "below")):
            for low, high in pairs:
                first, second = values.get(fields[low]), values.get(fields[high])
                if first is None or second is None or first < second or (first == second and relation == "at most"):
                    continue
                self.problems.append(f"{self._source}: {low}={first:.12g}: must be {relation} {high} ({second:.12g})")

    def unused(self) -> tuple[str, ...]:
        """Return the keys that nobody took, in the file's order."""
        names = (name for name in self._entries if name not in self._used)
        # They will be printed, which bytes that are no UTF-8 would not survive.
        return tuple(name.encode("utf-8", "backslashreplace").decode() for name in names)
