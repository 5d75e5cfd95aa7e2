"""The keys of dbproxyserver.conf: one table says for each its name, its place in ``Config``, its default and the rule of its values.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbproxy.config_rules import (
    AES_KEY,
    ANY,
    ENDPOINT,
    FILE,
    GIB,
    HOST,
    HOST_LIST,
    HOST_NAMES,
    HOSTS,
    LEVEL,
    NAMES,
    NETWORKS,
    OPTIONAL_SITE,
    POOL_SIZE,
    PORT,
    SENTINELS,
    SITE,
    SOCKET,
    SWITCH,
    TIMEOUT,
    WHOLE_SECONDS,
    WORD,
    Rule,
    seconds,
    whole,
)

FILE_SUFFIX = "_file"
"""Behind the name of a key with a secret value: the path of a file that holds the value."""


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


REQUIRED_KEYS: tuple[Key, ...] = (
    Key("ListenIP", "listen_ips", HOSTS, restart=True),
    Key("ListenPort", "listen_port", whole(0, 65535), restart=True),
    Key("ThreadNum", "thread_num", whole(1, 1024, "threads")),
    Key("MsfsSite", "msfs_site", SITE),
    Key("aesKey", "aes_key", AES_KEY, secret=True, restart=True),
)
"""Keys that every file must have; their meaning is the original's."""

OPTIONAL_KEYS: tuple[Key, ...] = (
    Key("MaxPduLength", "max_pdu_length", whole(1024, GIB, "bytes"), "16777216"),
    Key("HeartbeatInterval", "heartbeat_interval", TIMEOUT, "5"),
    Key("PeerTimeout", "peer_timeout", TIMEOUT, "30"),
    Key("StartTimeout", "start_timeout", seconds(0, 3600), "60"),
    Key("StopGrace", "stop_grace", seconds(0, 3600), "4"),
    Key("RequestTimeout", "request_timeout", TIMEOUT, "15"),
    Key("MaxWaitingRequests", "max_waiting_requests", whole(1, 10_000_000, "requests"), "20000"),
    Key("MaxWaitingBytes", "max_waiting_bytes", whole(1024, 64 * GIB, "bytes"), "67108864"),
    Key("MaxSendBuffer", "max_send_buffer", whole(1024, 64 * GIB, "bytes"), "8388608"),
    Key("MaxSendBufferTotal", "max_send_buffer_total", whole(1024, 64 * GIB, "bytes"), "67108864"),
    Key("SendTimeout", "send_timeout", TIMEOUT, "30"),
    Key("MaxConnections", "max_connections", whole(1, 1_000_000, "connections"), "10000"),
    Key("AllowedPeers", "allowed_peers", NETWORKS, ""),
    Key("MaxBatchSize", "max_batch_size", whole(1, 10000, "requests"), "64", former_name="RunLimit"),
    Key("MaxActiveBatches", "max_active_batches", whole(1, 1024), "2", former_name="ActiveRuns"),
    Key("AudioThreads", "audio_threads", whole(1, 1024, "threads"), "4"),
    Key("DBConnectTimeout", "db_connect_timeout", TIMEOUT, "3"),
    Key("DBTimeout", "db_timeout", TIMEOUT, "10"),
    Key("DBLockTimeout", "db_lock_timeout", WHOLE_SECONDS, "5"),
    Key("DBPoolTimeout", "db_pool_timeout", TIMEOUT, "5"),
    Key("MaxReplicaLag", "max_replica_lag", TIMEOUT, "5"),
    Key("CacheConnectTimeout", "cache_connect_timeout", TIMEOUT, "3"),
    Key("CacheTimeout", "cache_timeout", TIMEOUT, "5"),
    Key("CachePoolTimeout", "cache_pool_timeout", TIMEOUT, "5"),
    Key("FileServerTimeout", "file_server_timeout", TIMEOUT, "10"),
    Key("MaxAudioLength", "max_audio_length", whole(1024, GIB, "bytes"), "16777216"),
    Key("SyncInterval", "sync_interval", TIMEOUT, "5"),
    Key("AdminListen", "admin_listen", ENDPOINT, "off", restart=True),
    Key(
        "AdminSocket",
        "admin_socket",
        SOCKET,
        "dbproxy.sock",
        restart=True,
    ),
    Key("SlowRequest", "slow_request", seconds(0, 3600), "0.5"),
    Key("LogFile", "log_file", ANY, ""),
    Key("LogLevel", "log_level", LEVEL, "info"),
)
"""Keys that a file may have; ``conf/dbproxyserver.conf`` explains each."""

ADMIN_KEYS: tuple[Key, ...] = (
    Key("AdminDataDir", "data_dir", WORD, "admin"),
    Key("AdminReadMessages", "read_messages", SWITCH, "on"),
    Key("HttpMsgServer", "http_msg_server", OPTIONAL_SITE, "off"),
    Key("WebAdminListen", "web_listen", ENDPOINT, "127.0.0.1:10690"),
    Key("WebAdminCert", "web_cert", ANY, ""),
    Key("WebAdminKey", "web_key", ANY, ""),
    Key("WebAdminSessionTimeout", "web_session_timeout", seconds(60, 86400), "1800"),
    Key("WebAdminTrustedProxies", "web_trusted_proxies", NETWORKS, ""),
    Key("WebAdminHosts", "web_hosts", HOST_NAMES, ""),
)
"""Keys that a file may have for ``dbproxy-admin``, fields of ``AdminSettings``; the daemon does not use them."""

REMOVED_KEYS: Mapping[str, str] = {
    "MaxSendBufferHard": "a peer that reads is not closed any more, whatever waits for it; see MaxSendBuffer and MaxSendBufferTotal",
}
"""Keys that former versions had, and why they have no effect; a file that still has one works, with a warning."""

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

CACHE_INSTANCE_KEYS: tuple[Key, ...] = (
    Key("_sentinels", "sentinels", SENTINELS, ""),
    Key("_service", "service", ANY, ""),
    Key("_sentinel_username", "sentinel_username", ANY, ""),
    Key("_sentinel_password", "sentinel_password", ANY, "", secret=True),
    Key("_host", "host", HOST, replaced_by="sentinels"),
    Key("_port", "port", PORT, replaced_by="sentinels"),
    Key("_cluster", "cluster", SWITCH, "off", replaced_by="sentinels"),
    Key("_db", "db", whole(0, 1_000_000)),
    Key("_maxconncnt", "maxconncnt", POOL_SIZE),
    Key("_username", "username", ANY, ""),
    Key("_password", "password", ANY, "", secret=True),
)
"""Keys of each name in CacheInstances; the instance's name stands in front."""

CLUSTER_DB = Key(
    "_db", "db", Rule("0, or no such key, because a Redis Cluster (NAME_cluster=on) has no other database", whole(0, 0).parse), "0"
)
"""What takes the place of ``_db`` in CACHE_INSTANCE_KEYS where ``_cluster`` is on."""
