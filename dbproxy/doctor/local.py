"""What belongs to this host: the configuration, descriptors, host names, and the addresses to listen on. One thread."""

from __future__ import annotations

import errno
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dbproxy.addresses import is_address
from dbproxy.config import Config, key_warnings
from dbproxy.descriptors import reserved_descriptors
from dbproxy.doctor.finding import Findings, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.stores.resolver import Resolver

SLOW_LOOKUP = 1.0
"""Seconds; a lookup that takes longer delays every connection that is opened."""

_LISTENS = "0A"
"""State of a socket in /proc/net/tcp."""


def check_host(config: Config, findings: Findings, resolver: Resolver) -> None:
    """Examine what does not need a backend."""
    subject = findings.about("Configuration")
    with subject.guarded():
        _check_keys(config, subject)
    subject = findings.about("This host")
    with subject.guarded():
        _check_descriptors(config, subject)
    with subject.guarded():
        for host in dict.fromkeys(_backend_hosts(config)):
            _check_lookup(config, subject, resolver, host)
    with subject.guarded():
        for ip in config.listen_ips:
            _check_listen(subject, ip, config.listen_port)
    with subject.guarded():
        _check_peers(config, subject)


def _check_keys(config: Config, subject: Subject) -> None:
    warnings = key_warnings(config)
    for warning in warnings:
        subject.warning(Kind.CONFIGURATION, warning, "correct or remove the key; README.md lists all of them")
    if not warnings:
        subject.ok(Kind.CONFIGURATION, "every key is known and every value accepted")


def _check_descriptors(config: Config, subject: Subject) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = config.max_connections + reserved_descriptors(config)
    what = f"{needed} file descriptors may be needed (MaxConnections, the pools, AudioThreads), and the limit of this shell is {hard}"
    if hard != resource.RLIM_INFINITY and hard < needed:
        subject.warning(
            Kind.DESCRIPTORS,
            f"{what}: if the service has the same limit, fewer connections are accepted",
            f"LimitNOFILE={needed} in the unit (a service has its own limit), ulimit -Hn {needed} otherwise; or lower MaxConnections",
        )
    else:
        subject.ok(Kind.DESCRIPTORS, what)


def _backend_hosts(config: Config) -> Iterator[str]:
    yield from (host for instance in config.db_instances.values() for host, _ in instance.addresses)
    yield from (host for instance in config.cache_instances.values() for host in instance.hosts)
    yield urlsplit(config.msfs_site).hostname or ""


def _check_lookup(config: Config, subject: Subject, resolver: Resolver, host: str) -> None:
    if is_address(host):
        return
    began = time.monotonic()
    try:
        found = resolver.addresses(host, 0, max(config.db_connect_timeout, config.cache_connect_timeout))
    except OSError as error:
        subject.error(
            Kind.NAME_LOOKUP,
            f"{host} cannot be looked up: {error.strerror or error}",
            "check the name; it must be in /etc/hosts or in the DNS that /etc/resolv.conf names",
        )
        return
    seconds = time.monotonic() - began
    addresses = ", ".join(dict.fromkeys(str(address[0]) for _, address in found))
    if seconds > SLOW_LOOKUP:
        subject.warning(
            Kind.NAME_LOOKUP,
            f"looking up {host} took {seconds:.1f} s ({addresses}): every new connection to it takes so long",
            "look at the servers in /etc/resolv.conf (the first may be dead), or put the name into /etc/hosts",
        )
    else:
        subject.ok(Kind.NAME_LOOKUP, f"{host} is {addresses}, looked up in {seconds * 1000:.0f} ms")


def _check_listen(subject: Subject, ip: str, port: int) -> None:
    where = f"{ip}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
    except OSError as error:
        _report_taken(subject, where, port, error)
    else:
        subject.ok(Kind.LISTEN, f"{where} can be listened on")


def _report_taken(subject: Subject, where: str, port: int, error: OSError) -> None:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        subject.error(Kind.LISTEN, f"{where} is no address of this host: {error.strerror}", "ListenIP must be one of its own, or 0.0.0.0")
    elif error.errno == errno.EACCES:
        subject.error(
            Kind.LISTEN,
            f"{where} may not be listened on: {error.strerror}",
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose another ListenPort",
        )
    elif error.errno != errno.EADDRINUSE:
        subject.error(Kind.LISTEN, f"{where} cannot be listened on: {error.strerror}", "check ListenIP and ListenPort")
    else:
        owner = listening_process(port)
        if owner is None:
            subject.warning(
                Kind.LISTEN,
                f"{where} is taken by a process of another user, perhaps a running proxy",
                f"run this as that user or as root to see which; or: ss -ltnp sport = :{port}",
            )
        elif is_proxy(owner[1]):
            subject.info(Kind.LISTEN, f"a proxy runs there already (pid {owner[0]}) and listens on {where}")
        else:
            subject.error(
                Kind.LISTEN,
                f"{where} is taken by process {owner[0]} ({subject.foreign(owner[1][:100])})",
                "stop it, or choose another ListenPort",
            )


def listening_process(port: int) -> tuple[int, str] | None:
    """Return pid and command line of a process that listens on a TCP port; None when none that this user may look at does."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        fields = (line.split() for line in lines)
        inodes |= {f"socket:[{field[9]}]" for field in fields if field[3] == _LISTENS and int(field[1].rpartition(":")[2], 16) == port}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(str(descriptor.readlink()) in inodes for descriptor in (process / "fd").iterdir()):
                return int(process.name), (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:  # another user's, or it has ended
            continue
    return None


def is_proxy(command: str) -> bool:
    """Whether a command line is a proxy's, the C++ daemon's or ours."""
    words = command.split()
    return any(Path(word).name == "db_proxy_server" for word in words) or ("-m" in words and "dbproxy" in words)


def _check_peers(config: Config, subject: Subject) -> None:
    if config.allowed_peers:
        return
    local = {"127.0.0.1", "::1", "localhost"}
    if not set(config.listen_ips) <= local:
        subject.info(
            Kind.ANYONE_MAY_CONNECT,
            f"everybody who reaches {', '.join(config.listen_ips)} may read and write every user's messages: AllowedPeers is empty, "
            "and the "
            "protocol has no login",
            "set AllowedPeers to the addresses of the message servers, or keep others away with a firewall",
        )
