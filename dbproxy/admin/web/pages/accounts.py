"""The accounts of this application, for owners."""

from __future__ import annotations

from typing import NamedTuple

from flask import abort, render_template, request
from flask_babel import LazyString, gettext, lazy_gettext
from werkzeug.wrappers import Response

from dbproxy.admin.access.accounts import NAME_RULE, Account, generated_password, role_of
from dbproxy.admin.access.roles import Permission, Role
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.web.views import Pages, account, actor, form_text, go_to, say, site

pages = Pages("accounts")

ROLE_TEXTS = {
    Role.VIEWER: lazy_gettext("viewer"),
    Role.OPERATOR: lazy_gettext("operator"),
    Role.OWNER: lazy_gettext("owner"),
}


class Action(NamedTuple):
    """A change of an account that has to be confirmed."""

    question: LazyString
    explanation: LazyString
    button: LazyString


ACTIONS = {
    "password": Action(
        lazy_gettext("Generate another password for %(name)s?"),
        lazy_gettext("The password is shown once. The sessions of the account end at once."),
        lazy_gettext("Generate a password"),
    ),
    "disable": Action(
        lazy_gettext("Disable the account %(name)s?"),
        lazy_gettext("Nobody can log in with it until it is enabled again. Its sessions end at once."),
        lazy_gettext("Disable"),
    ),
    "enable": Action(
        lazy_gettext("Enable the account %(name)s?"),
        lazy_gettext("It can be used with its former password again."),
        lazy_gettext("Enable"),
    ),
    "remove": Action(
        lazy_gettext("Remove the account %(name)s?"),
        lazy_gettext("Its sessions end at once. The audit log keeps what was done with it."),
        lazy_gettext("Remove"),
    ),
}


@pages.page("/accounts", Permission.ACCOUNTS, methods=("GET", "POST"))
def index() -> str | tuple[str, int]:
    """Show all accounts and the form for a new one, or make it: the answer shows its password, once."""
    if request.method == "GET":
        return _index()
    name, password = form_text("name", 100), generated_password()
    try:
        role = role_of(form_text("role", 20))
        with site().log.recorded(actor(), "accounts.add", f"account {name}", {"role": role.value}):
            made = site().accounts.add(name, password, role)
    except RefusedError as error:
        return _index(str(error)), 400
    return _password(made, password)


@pages.page("/accounts/<name>/role", Permission.ACCOUNTS, methods=("POST",))
def change_role(name: str) -> Response | tuple[str, int]:
    """Give an account another role."""
    found = site().accounts.get(name)
    try:
        role = role_of(form_text("role", 20))
        with site().log.recorded(actor(), "accounts.role", f"account {found.name}", {"role": role.value}):
            site().accounts.set_role(found.name, role)
    except RefusedError as error:
        return _index(str(error)), 400
    say(gettext("%(name)s has the role %(role)s now.", name=found.name, role=ROLE_TEXTS[role]))
    return go_to("accounts.index")


@pages.page("/accounts/<name>/<action>", Permission.ACCOUNTS, methods=("GET", "POST"))
def change(name: str, action: str) -> Response | str | tuple[str, int]:
    """Ask whether an account shall be changed, or change it."""
    if action not in ACTIONS:
        abort(404)
    found = site().accounts.get(name)
    if request.method == "GET":
        return _confirm(found, action)
    password = generated_password()
    try:
        with site().log.recorded(actor(), f"accounts.{_RECORDED.get(action, action)}", f"account {found.name}"):
            if action == "password":
                site().accounts.set_password(found.name, password)
            elif action == "remove":
                site().accounts.remove(found.name)
            else:
                site().accounts.set_enabled(found.name, action == "enable")
    except RefusedError as error:
        return _confirm(found, action, str(error)), 400
    if action == "password":
        return _password(found, password)
    texts = {"disable": gettext("%(name)s is disabled.", name=found.name), "enable": gettext("%(name)s is enabled.", name=found.name)}
    say(texts.get(action) or gettext("%(name)s is removed.", name=found.name))
    return go_to("accounts.index")


_RECORDED = {"password": "passwd"}
"""The audit log has the words of the command line."""


def _index(problem: str = "") -> str:
    values = {"name": form_text("name", 100), "role": form_text("role", 20) or Role.VIEWER.value}
    roles = [(role.value, text) for role, text in ROLE_TEXTS.items()]
    return render_template(
        "accounts/index.html", accounts=site().accounts.all(), roles=roles, own=account(), problem=problem, rule=NAME_RULE, values=values
    )


def _confirm(found: Account, action: str, problem: str = "") -> str:
    texts = ACTIONS[action]
    return render_template(
        "accounts/confirm.html",
        question=str(texts.question) % {"name": found.name},
        explanation=texts.explanation,
        button=texts.button,
        dangerous=action in ("disable", "remove"),
        problem=problem,
    )


def _password(found: Account, password: str) -> str:
    return render_template("accounts/password.html", name=found.name, password=password)
