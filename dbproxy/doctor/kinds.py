"""The kinds of findings: names that do not change between releases, for scripts; ``docs/DOCTOR.md`` explains each."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What a finding is about. A kind may come with several levels: ``read-only`` is ok, a warning or an error."""

    UNEXPECTED = "unexpected"

    HOST_UNKNOWN = "host-unknown"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    LOGIN = "login"
    DATABASE = "database"
    NO_CONNECTION = "no-connection"
    LOST = "lost"
    VERSION = "version"
    SAME_SERVER = "same-server"
    CONNECTIONS = "connections"
    ROLE = "role"

    GRANTS = "grants"
    OWN_SESSIONS = "own-sessions"
    TABLES = "tables"
    OFFLINE_FILES = "offline-files"
    INDEXES = "indexes"
    OPTIONAL_INDEXES = "optional-indexes"
    ROW_IDS = "row-ids"
    ENGINE = "engine"
    CHARACTER_SET = "character-set"
    COLLATION = "collation"
    SESSION_SETTINGS = "session-settings"
    ISOLATION = "isolation"
    BINARY_LOG_FORMAT = "binary-log-format"
    PACKET = "max-allowed-packet"
    STATEMENT_TIME = "statement-time"
    DURABILITY = "durability"
    HOSTS = "hosts"
    READ_ONLY = "read-only"
    CLOCK = "clock"
    GALERA = "galera"
    TOPOLOGY = "topology"
    REPLICATION = "replication"
    REPLICATION_LAG = "replication-lag"

    WRITABLE = "writable"
    COMMANDS = "commands"
    EVICTION = "eviction"
    MEMORY = "memory"
    PERSISTENCE = "persistence"
    SAVING = "saving"
    SHARED_DATABASE = "shared-database"
    SENTINELS = "sentinels"
    CLUSTER = "cluster"
    CLUSTER_FAILOVER = "cluster-failover"
    CLUSTER_COVERAGE = "cluster-coverage"

    UPLOAD = "upload"
    DOWNLOAD = "download"
    NO_UPLOAD = "no-upload"

    CONFIGURATION = "configuration"
    DESCRIPTORS = "descriptors"
    NAME_LOOKUP = "name-lookup"
    LISTEN = "listen"
    ANYONE_MAY_CONNECT = "anyone-may-connect"
