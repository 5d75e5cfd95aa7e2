"""What views are made with: ``Pages``, and what they ask for the request that they answer. The thread of the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Blueprint, current_app, flash, g, redirect, request, session, url_for
from werkzeug.wrappers import Response

from dbproxy.admin.access.accounts import Account
from dbproxy.admin.access.audit_log import Actor
from dbproxy.admin.access.roles import Permission, may
from dbproxy.admin.access.web_sessions import WebSession
from dbproxy.admin.administration import Administration, require_reading
from dbproxy.admin.web.site import Site

MIB = 1 << 20

ORDINARY_BODY = MIB
"""Bytes of a form, at most."""

UPLOAD_BODY = 64 * MIB
"""Bytes of a form with a file, at most."""

_EXTENSION = "dbproxy_admin"
_LONGEST_NOTICE = 300
_MOST_NOTICES = 5

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a view needs before it is called: a permission (None: everybody may call it, logged in or not), and a body of this length."""

    permission: Permission | None
    body_limit: int


class Pages(Blueprint):
    """The pages of one topic: ``pages = Pages("users")``; a view with the name ``show`` is ``users.show`` for ``url_for``."""

    def __init__(self, name: str) -> None:
        super().__init__(name, name)

    def page(
        self, rule: str, permission: Permission | None, *, methods: Sequence[str] = ("GET",), body_limit: int = ORDINARY_BODY
    ) -> Callable[[View], View]:
        """Declare a view. It is called only for accounts that have ``permission``; a form also needs its CSRF token by then."""

        def declare(view: View) -> View:
            cast("Any", view).requirement = Requirement(permission, body_limit)
            self.add_url_rule(rule, endpoint=view.__name__, view_func=view, methods=list(methods))
            return view

        return declare


def requirement_of(endpoint: str) -> Requirement:
    """Return what the view of an endpoint needs.

    Raises:
        RuntimeError: it was not declared with ``Pages.page``, so nobody has thought about it.

    """
    found: Requirement | None = getattr(current_app.view_functions[endpoint], "requirement", None)
    if found is None:
        raise RuntimeError(f"the view {endpoint} says nothing about permissions; declare it with Pages.page")
    return found


def attach(site: Site) -> None:
    """Make ``site`` that of the current application."""
    current_app.extensions[_EXTENSION] = site


def site() -> Site:
    """Return what the application works with."""
    return cast("Site", current_app.extensions[_EXTENSION])


def session_or_none() -> WebSession | None:
    """Return the session of the request; None: nobody is logged in."""
    return cast("WebSession | None", g.get("web_session"))


def account() -> Account:
    """Return the account that is logged in; only for views that need a permission."""
    found = session_or_none()
    if found is None:
        raise RuntimeError("nobody is logged in: the view needs no permission")
    return found.account


def has(permission: Permission) -> bool:
    """Whether the account that is logged in has a permission; reading conversations also depends on the configuration."""
    found = session_or_none()
    if found is None or not may(found.account.role, permission):
        return False
    return permission is not Permission.READ or site().config.admin.read_messages


def check_reading() -> None:
    """Check that conversations may be read here; it needs no place at the backends. Raises ForbiddenError."""
    require_reading(site().config.admin)


def actor() -> Actor:
    """Return who the audit log names for this request."""
    return Actor(account().name, client_address())


def client_address() -> str:
    """Return the address of the browser, or of the last proxy that is not trusted."""
    return request.remote_addr or "unknown"


def administration() -> Administration:
    """Return what the services are made with. The request has a place at the backends from now until its response is sent.

    Raises:
        StoreUnavailableError: MySQL or Redis could not be reached since the start, or too many other requests wait for them.

    """
    if "administration" not in g:
        who = actor()
        g.administration = Administration(site().backends.take(), who, site().log)
    return cast("Administration", g.administration)


def release_backends(_error: BaseException | None = None) -> None:
    """Give up the place of a request that has ended."""
    if g.pop("administration", None) is not None:
        site().backends.release()


def say(text: str, level: str = "good") -> None:
    """Show a notice on the next page: ``good``, ``warn`` or ``bad``. It travels in a cookie: never a password or a content of messages."""
    if len(session.get("_flashes", ())) < _MOST_NOTICES:
        flash(text if len(text) <= _LONGEST_NOTICE else f"{text[:_LONGEST_NOTICE]}…", level)


def go_to(endpoint: str, **values: Any) -> Response:  # noqa: ANN401 - what url_for takes
    """Answer a form that was accepted: the browser gets another page, so that reloading it sends nothing again."""
    return redirect(url_for(endpoint, **values), 303)


def form_text(name: str, longest: int = 10_000) -> str:
    """Return a field of the form without the blanks around it, empty if it is missing, cut to ``longest`` + 1 characters."""
    return request.form.get(name, "").strip()[: longest + 1]


def query_number(name: str, default: int | None = None) -> int | None:
    """Return a whole number from 0 of the address's query, or ``default`` if it is missing or none."""
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else default


def local_path(text: str | None, otherwise: str) -> str:
    """Return ``text`` if it is a path of this site, so that a link to the login page cannot lead elsewhere; else ``otherwise``."""
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or any(ord(one) < 32 for one in text):
        return otherwise
    parts = urlsplit(text)
    return otherwise if parts.scheme or parts.netloc else text


def path_to_return_to() -> str:
    """Return the page that is being asked for, if it can be asked for again."""
    return request.full_path.removesuffix("?") if request.method == "GET" else "/"
