"""Pages of groups: found, shown with their members, created and changed. The thread of the request."""

from __future__ import annotations

from collections.abc import Callable

from flask import render_template, request
from flask_babel import gettext, lazy_gettext, ngettext
from werkzeug.wrappers import Response

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.groups.group_views import GroupChange, GroupDetails
from dbproxy.admin.groups.groups import Groups
from dbproxy.admin.web.pages.inputs import ID, Answer, ConflictError, fingerprint, position, query_text, words
from dbproxy.admin.web.service_texts import told
from dbproxy.admin.web.views import Pages, administration, form_text, go_to, say

pages = Pages("groups")

GROUP = ID % "group_id"

KINDS = {"normal": lazy_gettext("normal"), "temporary": lazy_gettext("temporary")}

STATUSES = {"active": lazy_gettext("active"), "dismissed": lazy_gettext("dismissed")}

TEXTS = {"kind_texts": KINDS, "status_texts": STATUSES}

LONGEST_LIST = 500_000
"""Characters of a list of users."""


@pages.page("/groups", Permission.VIEW)
def index() -> Answer:
    """List groups, those that a text and a status fit."""
    text, status, after = query_text("text"), query_text("status"), position()
    page = Groups(administration()).find(text, status or None, after)
    values = {"text": text, "status": status}
    return render_template("groups/index.html", page=page, statuses=list(STATUSES.items()), values=values, after=after, **TEXTS)


@pages.page(f"/groups/{GROUP}", Permission.VIEW)
def show(group_id: int) -> Answer:
    """Show a group and a page of its members."""
    groups, after = Groups(administration()), position()
    return render_template("groups/show.html", group=groups.get(group_id), page=groups.members(group_id, after), after=after, **TEXTS)


@pages.page("/groups/add", Permission.CHANGE, methods=("GET", "POST"))
def add() -> Answer:
    """Create a group."""
    values = {"name": "", "kind": "normal", "creator": query_text("creator"), "avatar": "", "members": ""}
    problem = ""
    if request.method == "POST":
        values = {name: form_text(name, LONGEST_LIST) for name in values}
        try:
            change = Groups(administration()).create(
                values["name"], values["creator"], words(values["members"]) or [values["creator"]], values["kind"], values["avatar"]
            )
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            say(gettext("The group %(name)s was created.", name=values["name"]))
            return _notice(change)
    return render_template("groups/add.html", values=values, kinds=list(KINDS.items()), problem=problem), 400 if problem else 200


@pages.page(f"/groups/{GROUP}/rename", Permission.CHANGE, methods=("GET", "POST"))
def rename(group_id: int) -> Answer:
    """Give a group another name, unless somebody else has changed the group since the form was made."""
    groups = Groups(administration())
    group = groups.get(group_id)
    name, problem, conflict = group.name, "", False
    if request.method == "POST":
        name = form_text("name")
        try:
            _check_unchanged(group)
            change = groups.rename(group_id, name)
        except RefusedError as refusal:
            problem, conflict = str(refusal), isinstance(refusal, ConflictError)
        else:
            say(gettext("The group has the name %(name)s now.", name=name))
            return _notice(change)
    page = render_template("groups/rename.html", group=group, name=name, made_with=_made_with(group), problem=problem, conflict=conflict)
    return page, 409 if conflict else 400 if problem else 200


@pages.page(f"/groups/{GROUP}/members/add", Permission.CHANGE, methods=("GET", "POST"))
def add_members(group_id: int) -> Answer:
    """Add users to a group."""
    groups = Groups(administration())
    users, problem = "", ""
    if request.method == "POST":
        users = form_text("users", LONGEST_LIST)
        try:
            change = groups.add_members(group_id, words(users))
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            count = len(change.changed)
            say(ngettext("%(num)s user was added to the group.", "%(num)s users were added to the group.", count))
            return _notice(change)
    return render_template("groups/add_members.html", group=groups.get(group_id), users=users, problem=problem), 400 if problem else 200


@pages.page(f"/groups/{GROUP}/members/remove", Permission.CHANGE, methods=("POST",))
def remove_members(group_id: int) -> Answer:
    """Ask whether the members that were ticked shall be removed, or remove them."""
    groups = Groups(administration())
    user_ids = [int(text) for text in request.form.getlist("user") if text.isascii() and text.isdigit() and len(text) <= 10]
    return _confirmed(
        groups.get(group_id),
        lambda dry_run: groups.remove_members(group_id, user_ids, dry_run=dry_run),
        "groups/remove_members.html",
        lambda count: ngettext("%(num)s member was removed from the group.", "%(num)s members were removed from the group.", count),
    )


@pages.page(f"/groups/{GROUP}/transfer", Permission.CHANGE, methods=("GET", "POST"))
def transfer(group_id: int) -> Answer:
    """Make another member the creator, unless somebody else has changed the group since the form was made."""
    groups = Groups(administration())
    group = groups.get(group_id)
    user, problem, conflict = query_text("user"), "", False
    if request.method == "POST":
        user = form_text("user", 200)
        try:
            _check_unchanged(group)
            change = groups.transfer(group_id, user)
        except (RefusedError, NotFoundError) as refusal:
            problem, conflict = str(refusal), isinstance(refusal, ConflictError)
        else:
            say(gettext("The group has another creator now."))
            return _notice(change)
    page = render_template("groups/transfer.html", group=group, user=user, made_with=_made_with(group), problem=problem, conflict=conflict)
    return page, 409 if conflict else 400 if problem else 200


@pages.page(f"/groups/{GROUP}/dismiss", Permission.CHANGE, methods=("GET", "POST"))
def dismiss(group_id: int) -> Answer:
    """Remove all members of a group, after saying what that means."""
    groups = Groups(administration())
    return _confirmed(
        groups.get(group_id),
        lambda dry_run: groups.dismiss(group_id, dry_run=dry_run),
        "groups/dismiss.html",
        lambda _: gettext("The group was dismissed."),
    )


def _confirmed(group: GroupDetails, act: Callable[[bool], GroupChange], template: str, said: Callable[[int], str]) -> Answer:
    """Show with a dry run what would be done, or do it if that was read."""
    if request.method == "POST" and "confirmed" in request.form:
        change = act(False)
        say(said(len(change.changed)))
        return _notice(change)
    return render_template(template, group=group, planned=act(True))


def _check_unchanged(group: GroupDetails) -> None:
    if form_text("made_with") != _made_with(group):
        raise ConflictError(gettext("Somebody else has changed this group since you opened the form. Nothing was saved."))


def _made_with(group: GroupDetails) -> str:
    return fingerprint(group.version, group.name, group.creator_id, group.status)


def _notice(change: GroupChange) -> Response:
    """Show the group, with what clients notice of the change."""
    if change.changed:
        say(str(told(change.notice)), "warn")
    return go_to("groups.show", group_id=change.group.group_id) if change.group else go_to("groups.index")
