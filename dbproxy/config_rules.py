"""What the keys of dbproxyserver.conf accept: rules that turn the text of a value into the value.

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

GIB = 1 << 30
"""Bytes."""

MAX_SOCKET_PATH = 107
"""Bytes of the path of a Unix socket that the system takes."""

SENTINEL_PORT = 26379
"""Where a Sentinel listens unless it is told otherwise."""


class Refused(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """A value that a rule does not accept; the text is a remark for the operator and never holds the value itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a value is read: ``parse`` turns text into the value or raises ``ValueError``; ``accepts`` says what it takes."""

    accepts: str
    parse: Callable[[str], Any]


def whole(low: int, high: int, what: str = "") -> Rule:
    """Return the rule of a whole number in these limits; ``what`` it counts."""

    def parse(value: str) -> int:
        if not _WHOLE.match(value) or not low <= int(value) <= high:
            raise Refused
        return int(value)

    return Rule(f"a whole number{what and ' of '}{what} from {low} to {high}", parse)


def seconds(low: float, high: int) -> Rule:
    """Return the rule of a number of seconds in these limits, with up to nine decimals."""

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


def _parse_host_names(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_parse_host(part.lower()) for part in _split(value, ",")))


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


def _parse_optional_site(value: str) -> str | None:
    return None if value.lower() in ("", "off") else _parse_site(value)


HOST = Rule("an IP address or a host name", _parse_host)
HOST_LIST = Rule("an IP address or a host name, or several as host[:port], ',' between them", _parse_host_list)
PORT = whole(1, 65535)
POOL_SIZE = whole(1, 10000, "connections")
ANY = Rule("any text, also an empty one", str)
WORD = Rule("a text that is not empty", _parse_word)
SWITCH = Rule("on or off", _parse_switch)
FILE = Rule("the path of a file", _parse_file)
TIMEOUT = seconds(0.1, 3600)
# MySQL counts innodb_lock_wait_timeout in whole seconds, from 1.
WHOLE_SECONDS = Rule("whole seconds from 1 to 3600", _parse_whole_seconds)
HOSTS = Rule("IP addresses or host names, ';' between them", _parse_hosts)
NAMES = Rule("names, ',' between them", _parse_names)
NETWORKS = Rule("IP addresses and networks, ',' between them", _parse_networks)
HOST_NAMES = Rule("host names, ',' between them", _parse_host_names)
ENDPOINT = Rule("address:port (an IPv6 address in brackets), or off", _parse_endpoint)
SITE = Rule("host, host:port or an http(s) URL", _parse_site)
OPTIONAL_SITE = Rule("host, host:port or an http(s) URL, or off", _parse_optional_site)
SOCKET = Rule(f"a path of at most {MAX_SOCKET_PATH} bytes, or off", _parse_socket)
SENTINELS = Rule(f"host[:port] of each Sentinel, ',' between them (without a port: {SENTINEL_PORT})", _parse_sentinels)
AES_KEY = Rule("exactly 32 ASCII characters", _parse_aes_key)
LEVEL = Rule("debug, info, warning or error", _parse_level)
