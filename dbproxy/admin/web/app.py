"""The Flask application: ``create_app``."""

from __future__ import annotations

import io
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, abort, g, redirect, request, session, url_for
from flask_babel import Babel, get_locale, gettext
from flask_wtf import CSRFProtect
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from dbproxy import __version__
from dbproxy.admin.access.roles import Permission, may
from dbproxy.admin.web import service_texts, texts, views
from dbproxy.admin.web.client_address import AllowedHosts, TrustedProxies, names_of_certificate
from dbproxy.admin.web.cookies import TOKEN, AdminCookies
from dbproxy.admin.web.errors import add_error_pages
from dbproxy.admin.web.headers import add_headers
from dbproxy.admin.web.language import LANGUAGES, chosen_language
from dbproxy.admin.web.navigation import links
from dbproxy.admin.web.pages import PAGES
from dbproxy.admin.web.site import Site
from dbproxy.config import AdminSettings

HERE = Path(__file__).parent

_ANONYMOUS_BODY = 1 << 16
"""Bytes of a form from somebody who is not logged in, at most."""

_NO_PAGE = views.Requirement(None, _ANONYMOUS_BODY)
"""What an address without a page needs: the error handler answers."""

_MOST_PARTS = 2000
"""Fields of a form, at most."""

_MOST_FILES = 4
"""Files of a form, at most: each of a long form is an open file."""


def create_app(site: Site) -> Flask:
    """Return the application on ``site``. The caller starts and closes ``site.backends``.

    Raises:
        AdminError: the certificate of the configuration cannot be read.
        RuntimeError: a view was not declared with ``Pages.page``.

    """
    app = Flask("dbproxy.admin.web", root_path=str(HERE), static_folder=None)
    app.request_class = _request_class(site.directory)
    app.session_interface = AdminCookies()
    app.config.update(
        SECRET_KEY=site.signing_key,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=views.ORDINARY_BODY,
        MAX_FORM_MEMORY_SIZE=views.ORDINARY_BODY,
        MAX_FORM_PARTS=_MOST_PARTS,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    Babel(app, locale_selector=chosen_language, default_translation_directories=str(HERE / "translations"))
    with app.app_context():
        views.attach(site)
    hosts = AllowedHosts(_names(site.config.admin))
    # in this order: nothing of a body is read, and no token looked at, before it is known who asks
    app.before_request(partial(_check_host, hosts))
    app.before_request(_take_head_for_get)
    app.before_request(_check_permission)
    CSRFProtect(app)
    app.after_request(add_headers)
    app.teardown_request(views.release_backends)
    app.context_processor(_template_values)
    app.jinja_env.filters.update(moment=texts.moment, machine_moment=texts.machine_moment, size=texts.size, number=texts.number)
    app.jinja_env.filters.update(visible=texts.visible, told=service_texts.told)
    for pages in PAGES:
        app.register_blueprint(pages)
    add_error_pages(app)
    with app.app_context():
        for endpoint in app.view_functions:
            views.requirement_of(endpoint)
    app.wsgi_app = TrustedProxies(app.wsgi_app, site.config.admin.web_trusted_proxies)  # type: ignore[method-assign]
    return app


def _names(settings: AdminSettings) -> list[str]:
    names = list(settings.web_hosts)
    if settings.web_listen is not None:
        names.append(settings.web_listen[0])
    return [*names, *names_of_certificate(settings.web_cert)] if settings.web_cert else names


def _check_host(hosts: AllowedHosts) -> None:
    if request.host not in hosts:
        abort(400, gettext("This name is not known here; add it to WebAdminHosts."))


def _take_head_for_get() -> None:
    """Views show a form or do what it sends, as the method says; HEAD, which needs no token of a form, must not be the latter. That no body
    is sent follows from the environment, which is not changed.
    """
    if request.method == "HEAD":
        request.method = "GET"


def _check_permission() -> Response | None:
    """Find out who asks and whether they may; only then the body may be read. 413 also closes the connection, so that the server does not
    read it either.
    """
    token = session.get(TOKEN)
    if isinstance(token, str):
        g.web_session = views.site().sessions.find(token)
        if g.web_session is None:
            session.clear()
    found = views.session_or_none()
    requirement = views.requirement_of(request.endpoint) if request.endpoint is not None else _NO_PAGE
    limit = _ANONYMOUS_BODY if found is None else requirement.body_limit
    # browsers say how long a body is; of one that comes in chunks the server would read a whole chunk into memory, whatever its length
    if "Transfer-Encoding" in request.headers or (request.content_length or 0) > limit:
        abort(413)
    request.max_content_length = limit
    if requirement.permission is None:
        return None
    if found is None:
        if isinstance(token, str):
            views.say(gettext("Your session is over; please log in again. Nothing has been changed."), "warn")
        return redirect(url_for("login.log_in", next=views.path_to_return_to()), 303)
    if not may(found.account.role, requirement.permission):
        abort(403)
    if requirement.permission is Permission.READ:
        views.check_reading()
    return None


def _template_values() -> dict[str, Any]:
    found = views.session_or_none()
    return {
        "Permission": Permission,
        "account": None if found is None else found.account,
        "has": views.has,
        "language": str(get_locale()),
        "languages": LANGUAGES,
        "links": links(),
        "here": views.path_to_return_to(),
        "time_zone": texts.time_zone(),
        "version": __version__,
    }


def _request_class(directory: Path) -> type[Request]:
    """Requests whose uploads are kept in files without a name in ``directory``: /tmp may be in memory. In other forms, files mean nothing
    and have room in memory: a form of 64 KiB could have a thousand of them.
    """

    class AdminRequest(Request):
        _files = 0

        def _get_file_stream(
            self, total_content_length: int | None, content_type: str | None, filename: str | None = None, content_length: int | None = None
        ) -> IO[bytes]:
            if (self.max_content_length or 0) <= views.ORDINARY_BODY:
                return io.BytesIO()
            self._files += 1
            if self._files > _MOST_FILES:
                raise RequestEntityTooLarge
            return tempfile.TemporaryFile("rb+", dir=os.fspath(directory))

    return AdminRequest
