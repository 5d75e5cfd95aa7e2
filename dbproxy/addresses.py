"""Addresses as people write them: host:port, an IPv6 address in brackets. Pure functions, any thread."""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    """Whether the text is an IP address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def shown_address(host: str, port: int) -> str:
    """Return host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(text: str) -> tuple[str, int]:
    """Undo ``shown_address``; the host may be a name.

    Raises:
        ValueError: the port is missing or none from 0 to 65535, or an IPv6 address has no brackets.

    """
    host, _, port = text.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if in_brackets != (":" in host) or not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("expected host:port, an IPv6 address in brackets")
    return host[1:-1] if in_brackets else host, int(port)
