"""AllowedPeers: which addresses may connect. Reactor thread only."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def may_connect(ip: str, networks: Sequence[Network]) -> bool:
    """Whether the address of a peer is in one of ``networks``; with none of them everybody may connect."""
    if not networks:
        return True
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
