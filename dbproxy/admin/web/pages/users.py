"""Pages of users: found, shown, added, changed, given passwords, disabled, enabled and exported. The thread of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TextIO

from flask import render_template, request
from flask_babel import gettext, lazy_gettext

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.people.csv_file import csv_writer
from dbproxy.admin.people.users import NewUser, SavedUser, UserDetails, Users
from dbproxy.admin.web.pages.department_choices import department_choices
from dbproxy.admin.web.pages.inputs import (
    ID,
    Answer,
    ConflictError,
    as_typed,
    download,
    fingerprint,
    form_id,
    position,
    query_id,
    query_text,
)
from dbproxy.admin.web.views import Pages, administration, form_text, go_to, say

pages = Pages("users")

USER = ID % "user_id"

STATUSES = {"active": lazy_gettext("active"), "disabled": lazy_gettext("disabled"), "other": lazy_gettext("other")}

LABELS = {
    "name": lazy_gettext("Login name"),
    "nick": lazy_gettext("Nick"),
    "email": lazy_gettext("Email"),
    "phone": lazy_gettext("Phone"),
    "domain": lazy_gettext("Domain"),
    "avatar": lazy_gettext("Avatar"),
    "sign_info": lazy_gettext("Signature"),
    "department_id": lazy_gettext("Department"),
    "sex": lazy_gettext("Sex"),
}
"""Fields of ``NewUser``."""

NUMBERS = ("department_id", "sex")
"""Those that are no texts."""

Values = Mapping[str, "str | int"]


@pages.page("/users", Permission.VIEW)
def index() -> Answer:
    """List users, those that a text, a department and a status fit."""
    text, department_id, status, after = query_text("text"), query_id("department"), query_text("status"), position()
    page = Users(administration()).find(text, department_id, status or None, after)
    values = {"text": text, "department": department_id, "status": status}
    statuses = list(STATUSES.items())
    departments = department_choices(administration())
    return render_template(
        "users/index.html", page=page, departments=departments, statuses=statuses, values=values, after=after, status_texts=STATUSES
    )


@pages.page("/users/export.csv", Permission.CHANGE)
def export() -> Answer:
    """Answer with all users as a file that Excel opens."""
    users = Users(administration())

    def write(stream: TextIO) -> None:
        stream.write("\ufeff")
        users.export(csv_writer(stream))

    return download("users.csv", "text/csv", write)


@pages.page(f"/users/{USER}", Permission.VIEW)
def show(user_id: int) -> Answer:
    """Show a user."""
    return render_template("users/show.html", user=Users(administration()).get(user_id), status_texts=STATUSES)


@pages.page("/users/add", Permission.CHANGE, methods=("GET", "POST"))
def add() -> Answer:
    """Add a user; the password, if it is a generated one, is shown by the answer, and never again."""
    values: Values = {"sex": 0, "department_id": query_id("department") or 0}
    problem = ""
    if request.method == "POST":
        values = _typed()
        try:
            saved = Users(administration()).add(NewUser(**_fields()), _password())  # type: ignore[arg-type]
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            return _shown_once(saved, gettext("%(name)s was added.", name=saved.name))
    page = render_template(
        "users/add.html", values=values, departments=department_choices(administration()), how=form_text("how"), problem=problem
    )
    return page, 400 if problem else 200


@pages.page(f"/users/{USER}/edit", Permission.CHANGE, methods=("GET", "POST"))
def edit(user_id: int) -> Answer:
    """Change a user, unless somebody else has done so since the form was made: then both are shown, and nothing is changed."""
    users = Users(administration())
    user = users.get(user_id)
    values: Values = _stored(user)
    problem, conflict = "", False
    if request.method == "POST":
        values = _typed()
        try:
            fields = _fields()
            if form_text("made_with") != _made_with(user):
                raise ConflictError(gettext("Somebody else has changed this user since you opened the form. Nothing was saved."))
            users.edit(user_id, {field: value for field, value in fields.items() if as_typed(getattr(user, field)) != value})
        except (RefusedError, NotFoundError) as refusal:
            problem, conflict = str(refusal), isinstance(refusal, ConflictError)
        else:
            say(gettext("The changes were saved."))
            return go_to("users.show", user_id=user_id)
    page = render_template(
        "users/edit.html",
        user=user,
        values=values,
        made_with=_made_with(user),
        departments=department_choices(administration()),
        problem=problem,
        differences=_differences(user, values) if conflict else None,
    )
    return page, 409 if conflict else 400 if problem else 200


@pages.page(f"/users/{USER}/password", Permission.CHANGE, methods=("GET", "POST"))
def password(user_id: int) -> Answer:
    """Give a user a new password."""
    users = Users(administration())
    user = users.get(user_id)
    problem = ""
    if request.method == "POST":
        try:
            saved = users.set_password(user_id, _password())
        except RefusedError as refusal:
            problem = str(refusal)
        else:
            return _shown_once(saved, gettext("%(name)s has a new password.", name=saved.name))
    return render_template("users/password.html", user=user, how=form_text("how"), problem=problem), 400 if problem else 200


@pages.page(f"/users/{USER}/disable", Permission.CHANGE, methods=("GET", "POST"))
def disable(user_id: int) -> Answer:
    """Let a user log in no more, after saying what that means."""
    users = Users(administration())
    if request.method == "POST":
        user = users.disable(user_id)
        say(gettext("%(name)s cannot log in any more.", name=user.name))
        return go_to("users.show", user_id=user_id)
    return render_template("users/disable.html", user=users.get(user_id))


@pages.page(f"/users/{USER}/enable", Permission.CHANGE, methods=("POST",))
def enable(user_id: int) -> Answer:
    """Let a user log in again."""
    user = Users(administration()).enable(user_id)
    say(gettext("%(name)s can log in again.", name=user.name))
    return go_to("users.show", user_id=user_id)


def _typed() -> dict[str, str]:
    """Return what the form has, to be shown in it again."""
    return {name: form_text(name) for name in LABELS}


def _fields() -> dict[str, str | int]:
    """Return the fields of ``NewUser`` that the form has."""
    return {name: form_id(name, name.removesuffix("_id")) if name in NUMBERS else form_text(name) for name in LABELS}


def _stored(user: UserDetails) -> dict[str, str | int]:
    return {name: getattr(user, name) for name in LABELS}


def _made_with(user: UserDetails) -> str:
    """Tell apart what the user is when the form is made and when it comes back; ``updated`` alone has a precision of a second."""
    return fingerprint(user.updated, *_stored(user).values())


def _differences(user: UserDetails, typed: Values) -> Sequence[tuple[object, object, object]]:
    """Return the fields that are stored otherwise than they were typed: name, stored value, typed value."""
    return [(LABELS[name], value, typed[name]) for name, value in _stored(user).items() if str(as_typed(value)) != typed[name]]


def _password() -> str | None:
    """Return the password that was typed, as it was typed; None: one shall be generated.

    Raises:
        RefusedError: it was typed in two ways.

    """
    if request.form.get("how") != "typed":
        return None
    typed = request.form.get("password", "")
    if typed != request.form.get("repeated", ""):
        raise RefusedError(gettext("The two passwords are not the same."))
    return typed


def _shown_once(saved: SavedUser, text: str) -> Answer:
    """Show the password at once instead of going to another page: it would have to be kept until that is asked for."""
    if saved.password is None:
        say(text)
        return go_to("users.show", user_id=saved.user_id)
    return render_template("users/password_once.html", saved=saved, text=text)
