"""Pages for what went wrong. The thread of the request."""

from __future__ import annotations

from flask import Flask, render_template
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from dbproxy.admin.errors import AdminError, ForbiddenError, NotFoundError, RefusedError
from dbproxy.admin.web.views import session_or_none
from dbproxy.errors import OutcomeUnknownError, StartupError, StoreError, StoreUnavailableError

Answer = tuple[str, int]

_STATUS: tuple[tuple[type[AdminError], int], ...] = ((NotFoundError, 404), (ForbiddenError, 403), (RefusedError, 400), (AdminError, 500))


def add_error_pages(app: Flask) -> None:
    """Make every error a page in the language of its reader."""
    app.register_error_handler(AdminError, _administration)
    app.register_error_handler(StoreError, _store)
    app.register_error_handler(StartupError, _store)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)


def _page(status: int, heading: str, text: str, detail: str = "") -> Answer:
    return render_template("error.html", status=status, heading=heading, text=text, detail=detail), status


def _administration(error: AdminError) -> Answer:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if status == 500 and session_or_none() is None:  # who has not logged in is not told where the files are
        text = gettext("The files of dbproxy-admin cannot be used at the moment. On its machine, dbproxy-admin accounts list says why.")
        return _page(status, _heading(status), text)
    return _page(status, _heading(status), str(error))


def _store(error: StoreError | StartupError) -> Answer:
    if isinstance(error, (StoreUnavailableError, StartupError)):
        text = gettext("This page needs MySQL and Redis, and one of them cannot be used at the moment. Try again in a while.")
        return _page(503, gettext("No connection to the data"), text, str(error))
    if isinstance(error, OutcomeUnknownError):
        text = gettext("The connection was lost while the change was being stored. Look whether it has happened before you try again.")
        return _page(503, gettext("Perhaps changed, perhaps not"), text, str(error))
    return _page(500, gettext("The database has refused this"), gettext("Nothing has been changed."), str(error))


def _csrf(error: CSRFError) -> Answer:
    text = gettext("The form is too old, or it is not from this site. Nothing has been changed. Go back, reload the page and try again.")
    return _page(400, gettext("The form was not accepted"), text, str(error.description))


def _http(error: HTTPException) -> Answer | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    texts = {
        400: gettext("The request cannot be understood."),
        403: gettext("The role of your account does not allow this."),
        404: gettext("There is no such page."),
        405: gettext("This address does not take such requests."),
        413: gettext("What was sent is too long; nothing has been changed."),
    }
    text = texts.get(status, gettext("An error that should not happen; the log of dbproxy-admin has it. Perhaps not everything was done."))
    return _page(status, _heading(status), text)


def _heading(status: int) -> str:
    headings: dict[int, str] = {
        400: gettext("Not accepted"),
        403: gettext("Not allowed"),
        404: gettext("Not found"),
        413: gettext("Too long"),
    }
    return headings.get(status) or str(gettext("That did not work"))
