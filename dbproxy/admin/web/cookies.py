"""The cookie of the web application. It is signed, and holds the token of the session, that of the forms, and notices for the next page."""

from __future__ import annotations

from flask import Flask, has_request_context, request
from flask.sessions import SecureCookieSessionInterface

NAME = "dbproxy-admin"

TOKEN = "token"
"""The key of the token of the session of a person who is logged in."""


class AdminCookies(SecureCookieSessionInterface):
    """Under HTTPS, which a reverse proxy may end, the cookie is for HTTPS only, and its name keeps other hosts of the domain from setting
    it.

    SameSite is Strict: with Lax, a link on another site could open a conversation in the name of a person who is logged in, and the audit
    log would say that they have read it.
    """

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name for this request."""
        return f"__Host-{NAME}" if self.get_cookie_secure(app) else NAME

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether this request came over HTTPS."""
        return has_request_context() and request.is_secure
