"""Who sends a request, and under which name: reverse proxies, and the protection against DNS rebinding. Any thread."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from dbproxy.addresses import is_address
from dbproxy.admin.errors import SettingsError
from dbproxy.config_rules import Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """Puts the client's address and scheme into requests that a trusted reverse proxy passes on; from others, those headers are nothing."""

    def __init__(self, application: WSGIApplication, networks: tuple[Network, ...]) -> None:
        self._application = application
        self._networks = networks

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        sender = _address(environ.get("REMOTE_ADDR", ""))
        if sender is not None and self._trusts(sender):
            environ["REMOTE_ADDR"] = str(self._client(sender, environ.get("HTTP_X_FORWARDED_FOR", "")))
            if environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower() == "https":
                environ["wsgi.url_scheme"] = "https"
        elif sender is not None:
            environ["REMOTE_ADDR"] = str(sender)
        return self._application(environ, start_response)

    def _client(self, sender: Address, forwarded: str) -> Address:
        """The nearest address that is not one of the proxies: what stands before it may be an invention of the client."""
        for text in reversed(forwarded.split(",")):
            address = _address(text.strip())
            if address is None:
                break
            sender = address
            if not self._trusts(address):
                break
        return sender

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class AllowedHosts:
    """The names by which the application may be called. A page of another site can make its own name lead to this machine (DNS rebinding);
    the browser then sends that name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def __contains__(self, host: str) -> bool:
        """Whether a Host header, perhaps with a port, is accepted: addresses always are, since nobody can rebind an address."""
        name = host.lower()
        if name.startswith("["):
            address, _, port = name[1:].partition("]")
            return is_address(address) and (not port or (port[0] == ":" and port[1:].isdecimal()))
        name = name.partition(":")[0].removesuffix(".")
        if is_address(name) or name == "localhost" or name.endswith(".localhost"):
            return True
        return name in self._names or f"*.{name.partition('.')[2]}" in self._names


def network_of(address: str) -> str:
    """Return what limits of an address count: the address, or of IPv6 the /64, since one machine has all of it."""
    parsed = _address(address.partition("%")[0])
    return address if parsed is None else str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)


def names_of_certificate(path: str) -> tuple[str, ...]:
    """Return the DNS names that the first certificate of a PEM file is for.

    Raises:
        SettingsError: there is no certificate in it.

    """
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    except OSError as error:
        raise SettingsError(f"WebAdminCert: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"WebAdminCert: {path} has no certificate in PEM: {error}") from None
    return tuple(found.value.get_values_for_type(x509.DNSName))


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
