"""Pages of departments: the tree, and how it is changed. The thread of the request."""

from __future__ import annotations

from flask import render_template, request
from flask_babel import gettext

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.people.departments import DepartmentNode, Departments
from dbproxy.admin.web.pages.department_choices import department_choices
from dbproxy.admin.web.pages.inputs import ID, Answer, ConflictError, fingerprint, form_id, query_id
from dbproxy.admin.web.views import Pages, administration, form_text, go_to, say

pages = Pages("departments")

DEPARTMENT = ID % "department_id"


@pages.page("/departments", Permission.VIEW)
def index() -> Answer:
    """Show the tree."""
    return render_template("departments/index.html", tree=Departments(administration()).tree())


@pages.page("/departments/add", Permission.CHANGE, methods=("GET", "POST"))
def add() -> Answer:
    """Add a department."""
    departments = Departments(administration())
    values: dict[str, object] = {"name": "", "parent_id": query_id("parent") or 0, "priority": 0}
    problem = ""
    if request.method == "POST":
        values = {name: form_text(name) for name in values}
        try:
            parent_id, priority = form_id("parent_id", "parent department"), form_id("priority", "priority")
            added = departments.add(form_text("name"), parent_id, priority)
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            say(gettext("The department %(name)s was added.", name=added.name))
            return go_to("departments.index")
    page = render_template("departments/add.html", values=values, departments=department_choices(administration()), problem=problem)
    return page, 400 if problem else 200


@pages.page(f"/departments/{DEPARTMENT}/edit", Permission.CHANGE, methods=("GET", "POST"))
def edit(department_id: int) -> Answer:
    """Rename or move a department, unless somebody else has done so since the form was made."""
    departments = Departments(administration())
    department = departments.get(department_id)
    values: dict[str, object] = {"name": department.name, "parent_id": department.parent_id, "priority": department.priority}
    problem, conflict = "", False
    if request.method == "POST":
        values = {name: form_text(name) for name in values}
        try:
            if form_text("made_with") != _made_with(department):
                raise ConflictError(gettext("Somebody else has changed this department since you opened the form. Nothing was saved."))
            _change(departments, department, form_text("name"), form_id("parent_id", "parent department"), form_id("priority", "priority"))
        except (RefusedError, NotFoundError) as refusal:
            problem, conflict = str(refusal), isinstance(refusal, ConflictError)
            department = departments.get(department_id)
        else:
            say(gettext("The changes were saved."))
            return go_to("departments.index")
    page = render_template(
        "departments/edit.html",
        department=department,
        values=values,
        made_with=_made_with(department),
        departments=department_choices(administration()),
        problem=problem,
        conflict=conflict,
    )
    return page, 409 if conflict else 400 if problem else 200


@pages.page(f"/departments/{DEPARTMENT}/remove", Permission.CHANGE, methods=("GET", "POST"))
def remove(department_id: int) -> Answer:
    """Remove a department, with its users going to another one."""
    departments = Departments(administration())
    problem, move_users_to = "", 0
    if request.method == "POST":
        try:
            move_users_to = form_id("move_users_to", "department for the users")
            removed = departments.remove(department_id, move_users_to or None)
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            say(gettext("The department %(name)s was removed.", name=removed.name))
            return go_to("departments.index")
    department = departments.get(department_id)
    others = [choice for choice in department_choices(administration()) if choice[0] != department_id]
    page = render_template(
        "departments/remove.html", department=department, departments=others, move_users_to=move_users_to, problem=problem
    )
    return page, 400 if problem else 200


def _change(departments: Departments, department: DepartmentNode, name: str, parent_id: int, priority: int) -> None:
    """Move and rename, as far as that is different. Both are checked before the first is done."""
    moved = (parent_id, priority) != (department.parent_id, department.priority)
    renamed = name != department.name
    department_id = department.department_id
    if moved and renamed:
        departments.rename(department_id, name, dry_run=True)
    if moved:
        departments.move(department_id, parent_id, priority)
    if renamed:
        departments.rename(department_id, name)


def _made_with(department: DepartmentNode) -> str:
    return fingerprint(department.name, department.parent_id, department.priority)
