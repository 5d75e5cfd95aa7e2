"""Whose address counts behind proxies, and which names are accepted."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from certificates import Authority

from dbproxy.admin.errors import AdminError
from dbproxy.admin.web.client_address import AllowedHosts, TrustedProxies, names_of_certificate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def seen(sender: str, forwarded: str | None = None, scheme: str | None = None) -> tuple[str, str]:
    """Return the address and the scheme that the application sees."""
    found: WSGIEnvironment = {}

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found.update(environ)
        return []

    environ: WSGIEnvironment = {"REMOTE_ADDR": sender, "wsgi.url_scheme": "http"}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    if scheme is not None:
        environ["HTTP_X_FORWARDED_PROTO"] = scheme
    TrustedProxies(application, NETWORKS)(environ, lambda *_: lambda _: None)
    return found["REMOTE_ADDR"], found["wsgi.url_scheme"]


def test_the_headers_of_strangers_are_nothing() -> None:
    assert seen("192.0.2.1", "198.51.100.7", "https") == ("192.0.2.1", "http")


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.5, 198.51.100.7", "198.51.100.7"),  # the first is what the client has invented
        ("198.51.100.7, 10.1.2.3", "198.51.100.7"),  # two proxies
        ("10.9.9.9", "10.9.9.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("", "10.0.0.1"),
        ("nonsense", "10.0.0.1"),
        ("198.51.100.7, nonsense", "10.0.0.1"),
        ("nonsense, 198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_counts(forwarded: str, address: str) -> None:
    assert seen("10.0.0.1", forwarded)[0] == address


def test_the_scheme_is_that_which_the_proxy_names() -> None:
    assert seen("10.0.0.1", "198.51.100.7", "https")[1] == "https"
    assert seen("10.0.0.1", "198.51.100.7", "https, http")[1] == "http"
    assert seen("10.0.0.1", "198.51.100.7")[1] == "http"


def test_an_ipv4_address_in_ipv6_is_an_ipv4_address() -> None:
    assert seen("::ffff:10.0.0.1", "198.51.100.7")[0] == "198.51.100.7"
    assert seen("::ffff:192.0.2.1", "198.51.100.7")[0] == "192.0.2.1"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:10690", "127.0.0.1:1", "192.0.2.1", "[::1]:10690", "admin.example.com", "ADMIN.example.com.:80", "a.x.org"],
)
def test_names_that_are_known_and_addresses_are_accepted(host: str) -> None:
    assert host in AllowedHosts(["Admin.example.com", "*.x.org"])


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "admin.example.com.evil.example",
        "x.org",
        "b.a.x.org",
        "[evil]",
        "127.0.0.1.evil.example",
        "[::1].evil.example",
        "[::1]:x",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert host not in AllowedHosts(["admin.example.com", "*.x.org"])


def test_the_names_of_a_certificate(tmp_path: Path) -> None:
    assert names_of_certificate(str(Authority("authority", tmp_path).issue("admin").cert)) == ()
    assert names_of_certificate(str(Authority("authority", tmp_path).certificate)) == ()
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(AdminError, match=r"none\.pem has no certificate"):
        names_of_certificate(str(tmp_path / "none.pem"))
    with pytest.raises(AdminError, match=r"away\.pem cannot be read"):
        names_of_certificate(str(tmp_path / "away.pem"))
