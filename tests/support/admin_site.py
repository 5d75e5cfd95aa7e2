"""The web application of dbproxy-admin for tests: in this process (``AdminApp``, with its ``Visitor``s), or served by a process of its own
(``AdminServer``).
"""

from __future__ import annotations

import html
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dbproxy.admin.access.accounts import Account, Accounts
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.audit_log import AuditLog
from dbproxy.admin.access.roles import Role
from dbproxy.admin.web.app import create_app
from dbproxy.admin.web.cookies import NAME
from dbproxy.admin.web.site import Site
from dbproxy.config import load_config
from dbproxy.errors import StartupError
from dbproxy.testing import Stack
from dbproxy.testing.process import free_port
from devtools.web_admin import WebAdmin

if TYPE_CHECKING:
    from typing_extensions import Self

PASSWORD = "correct horse battery"
"""Of every account that is made here."""

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Visitor:
    """A browser without a screen at an ``AdminApp``, perhaps logged in."""

    def __init__(self, app: Flask, address: str = "127.0.0.1", language: str = "en") -> None:
        self._client: FlaskClient = app.test_client()
        self._environment = {"REMOTE_ADDR": address}
        self._headers = {"Accept-Language": language}

    def get(self, path: str, **options: Any) -> TestResponse:
        """Ask for a page; ``options`` are those of werkzeug's EnvironBuilder."""
        return self._open(path, method="GET", **options)

    def post(self, path: str, data: Mapping[str, Any] | None = None, *, form: str = "", **options: Any) -> TestResponse:
        """Send a form with the token that the page ``form`` has (empty: that at ``path``, or else that of the own account)."""
        return self._open(path, method="POST", data={"csrf_token": self.token(form or path), **(data or {})}, **options)

    def post_without_token(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form as another site would."""
        return self._open(path, method="POST", data=dict(data or {}), **options)

    def token(self, path: str) -> str:
        """Return the CSRF token of a page, or of the own account if that page has none."""
        for one in (path, "/account"):
            found = _TOKEN.search(self.get(one).get_data(as_text=True))
            if found:
                return html.unescape(found[1])
        raise AssertionError(f"{path} has no form")

    def log_in(self, name: str, password: str = PASSWORD, **data: str) -> TestResponse:
        """Send the form of the login page."""
        return self.post("/login", {"name": name, "password": password, **data}, form="/login")

    def cookie(self) -> str:
        """Return the cookie of the session."""
        found = self._client.get_cookie(NAME)
        assert found is not None
        return found.value

    def set_cookie(self, value: str) -> None:
        """Have the cookie of another."""
        self._client.set_cookie(NAME, value)

    def _open(self, path: str, **options: Any) -> TestResponse:
        headers = {**self._headers, **options.pop("headers", {})}
        environment = {**self._environment, **options.pop("environ_overrides", {})}
        return self._client.open(path, headers=headers, environ_overrides=environment, buffered=True, **options)


class AdminApp:
    """The application on the backends of ``stack``; use it with ``with``. ``keys`` are those of the configuration."""

    def __init__(self, stack: Stack, directory: Path, **keys: object) -> None:
        path = stack.write_config(directory / "dbproxyserver.conf", {"AdminDataDir": directory / "admin", **keys})
        self.site = Site(load_config(path))
        self.app = create_app(self.site)

    @property
    def log(self) -> AuditLog:
        """The audit log."""
        return self.site.log

    def account(self, name: str, role: Role = Role.OWNER) -> Account:
        """Make an account with the password ``PASSWORD``."""
        return self.site.accounts.add(name, PASSWORD, role)

    def visitor(self, role: Role | None = None, *, name: str = "", **options: Any) -> Visitor:
        """Return somebody who has just made an account of this role and logged in (None: neither)."""
        visitor = Visitor(self.app, **options)
        if role is not None:
            account = self.account(name or role.value, role)
            response = visitor.log_in(account.name)
            assert response.status_code == 303, response.get_data(as_text=True)
        return visitor

    def __enter__(self) -> Self:
        self.site.backends.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.site.close()


@dataclass(frozen=True)
class Answer:
    """What an ``AdminServer`` has answered."""

    status: int
    text: str
    headers: Message


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class HttpVisitor:
    """A browser without a screen at an ``AdminServer``; ``authority`` is a file with what signs its certificate."""

    def __init__(self, url: str, authority: Path | None = None) -> None:
        self._url = url.removesuffix("/")
        self.cookies = CookieJar()
        context = ssl.create_default_context(cafile=authority)
        handlers = (urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.HTTPSHandler(context=context), _NoRedirects())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)

    def get(self, path: str) -> Answer:
        """Ask for a page."""
        return self._open(urllib.request.Request(self._url + path))

    def post(self, path: str, data: Mapping[str, str] | None = None, *, form: str = "/account") -> Answer:
        """Send a form with the token that the page ``form`` has."""
        found = _TOKEN.search(self.get(form).text)
        assert found, f"{form} has no form"
        body = urllib.parse.urlencode({"csrf_token": html.unescape(found[1]), **(data or {})}).encode()
        return self._open(urllib.request.Request(self._url + path, body, {"Referer": self._url + form}))

    def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        """Send the form of the login page."""
        return self.post("/login", {"name": name, "password": password}, form="/login")

    def _open(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=60) as response:
                return Answer(response.status, response.read().decode(), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), error.headers)


class AdminServer(WebAdmin):
    """``dbproxy-admin serve`` on the backends of ``stack``, at a free port of 127.0.0.1. Use it with ``with``: it must end cleanly."""

    def __init__(self, stack: Stack, **keys: object) -> None:
        directory = stack.new_directory("admin")
        self.data_directory = directory / "admin"
        self.config_path = stack.write_config(directory / "dbproxyserver.conf", {"AdminDataDir": self.data_directory, **keys})
        super().__init__(self.config_path, free_port(), directory / "log", "https" if keys.get("WebAdminCert") else "http")

    @property
    def log_file(self) -> AuditLog:
        """The audit log."""
        return AuditLog(self.data_directory)

    def account(self, name: str, role: Role = Role.OWNER) -> Account:
        """Make an account with the password ``PASSWORD``."""
        return Accounts(AccountsDatabase(self.data_directory)).add(name, PASSWORD, role)

    def visitor(self, authority: Path | None = None) -> HttpVisitor:
        """Return somebody who is not logged in."""
        return HttpVisitor(self.url, authority)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        status = self.stop()
        if error is None and status != 0:
            raise StartupError(f"{self.name} ended with status {status}; the end of its log:\n{self.log(last=25)}")
