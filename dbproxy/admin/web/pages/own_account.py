"""The page on which people change their own password."""

from __future__ import annotations

from flask import render_template, request, session
from flask_babel import gettext
from werkzeug.wrappers import Response

from dbproxy.admin.access.accounts import LONGEST_PASSWORD, PASSWORD_RULE
from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.web.cookies import TOKEN
from dbproxy.admin.web.views import Pages, account, actor, client_address, go_to, say, site

pages = Pages("own_account")


@pages.page("/account", Permission.SIGNED_IN, methods=("GET", "POST"))
def show() -> Response | str | tuple[str, int]:
    """Show the form, or change the password: all other sessions of the account end."""
    if request.method == "GET":
        return _form()
    current, new, again = (request.form.get(name, "")[: LONGEST_PASSWORD + 1] for name in ("current", "new", "again"))
    own, limits, address = account(), site().login_limits, client_address()
    if limits.is_refused(own.name, address):
        return _form(gettext("Too many wrong passwords. Try again in half an hour.")), 429
    try:
        if site().accounts.check(own.name, current) is None:
            limits.failed(own.name, address)
            return _form(gettext("The current password is wrong.")), 400
        if new != again:
            return _form(gettext("The new password was not typed the same way twice.")), 400
        with site().log.recorded(actor(), "accounts.passwd", f"account {own.name}"):
            site().accounts.set_password(own.name, new)
    except RefusedError as error:
        return _form(str(error)), 400
    session.clear()
    session[TOKEN] = site().sessions.begin(own, address)
    say(gettext("Your password is changed, and all your other sessions are over."))
    return go_to("own_account.show")


def _form(problem: str = "") -> str:
    return render_template("own_account.html", problem=problem, rule=PASSWORD_RULE)
