"""Logging in and out, and the language."""

from __future__ import annotations

from flask import Response as FlaskResponse
from flask import redirect, render_template, request, session, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from dbproxy.admin.access.accounts import LONGEST_PASSWORD
from dbproxy.admin.access.audit_log import Actor
from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.web.cookies import TOKEN
from dbproxy.admin.web.language import COOKIE, COOKIE_SECONDS, LANGUAGES
from dbproxy.admin.web.views import Pages, account, actor, client_address, form_text, go_to, local_path, say, session_or_none, site

pages = Pages("login")

_LONGEST_NAME = 100


@pages.page("/login", None, methods=("GET", "POST"))
def log_in() -> Response | str | tuple[str, int]:
    """Show the form, or begin a session."""
    goal = local_path(request.values.get("next"), url_for("home.show"))
    if request.method == "GET":
        return redirect(goal, 303) if session_or_none() is not None else _form(goal)
    name, password = form_text("name", _LONGEST_NAME), request.form.get("password", "")[: LONGEST_PASSWORD + 1]
    limits, address = site().login_limits, client_address()
    if limits.is_refused(name, address):
        return _form(goal, gettext("Too many wrong passwords. Try again in half an hour.")), 429
    try:
        found = site().accounts.check(name, password)
    except RefusedError:
        return _form(goal, gettext("Too many people are logging in at this moment. Try again in a minute.")), 503
    if found is None:
        limits.failed(name, address)
        site().log.record(Actor(_known(name), address), "web.login", "web", outcome="wrong name or password, or disabled")
        return _form(goal, gettext("Wrong name or password, or the account is disabled.")), 403
    limits.succeeded(name)
    site().log.record(Actor(found.name, address), "web.login", "web")
    _end_session()
    session[TOKEN] = site().sessions.begin(found, address)
    return redirect(goal, 303)


@pages.page("/logout", Permission.SIGNED_IN, methods=("POST",))
def log_out() -> Response:
    """End this session."""
    site().log.record(actor(), "web.logout", "web")
    _end_session()
    say(gettext("You have logged out."))
    return go_to("login.log_in")


@pages.page("/logout/everywhere", Permission.SIGNED_IN, methods=("POST",))
def log_out_everywhere() -> Response:
    """End all sessions of the account."""
    with site().log.recorded(actor(), "web.logout", "all sessions") as details:
        details["sessions"] = site().sessions.end_all(account())
    session.clear()
    say(gettext("You have logged out everywhere."))
    return go_to("login.log_in")


@pages.page("/language", None, methods=("POST",))
def choose_language() -> Response:
    """Remember a language in this browser."""
    response: FlaskResponse | Response = redirect(local_path(request.form.get("next"), url_for("home.show")), 303)
    chosen = form_text("language", 10)
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, COOKIE_SECONDS, secure=request.is_secure, httponly=True, samesite="Strict")
    return response


def _form(goal: str, problem: str = "") -> str:
    return render_template("login.html", goal=goal, name=form_text("name", _LONGEST_NAME), problem=problem)


def _known(name: str) -> str:
    """The name of an account, for the audit log. What is none is not recorded: people type passwords into the wrong field."""
    try:
        return site().accounts.get(name).name
    except NotFoundError:
        return "(no account)"


def _end_session() -> None:
    """Also that of the forms: whoever knew a token before the login must not know one after it."""
    token = session.get(TOKEN)
    if isinstance(token, str):
        site().sessions.end(token)
    session.clear()
