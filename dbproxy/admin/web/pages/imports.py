"""Pages of imports: a file of users is uploaded, shown, checked, imported, and what was refused is reported. The thread of the request."""

from __future__ import annotations

from typing import BinaryIO, cast

from flask import Response as FlaskResponse
from flask import render_template, request
from flask_babel import gettext
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.web.jobs import State
from dbproxy.admin.web.pages.department_choices import department_choices
from dbproxy.admin.web.pages.inputs import Answer, form_id
from dbproxy.admin.web.pages.users import LABELS
from dbproxy.admin.web.uploads import FilePieces, ImportOptions
from dbproxy.admin.web.views import UPLOAD_BODY, Pages, actor, administration, go_to, say, site

pages = Pages("imports")

COLUMNS = {**LABELS, "department": LABELS["department_id"]}
"""Fields of a file."""

UPLOAD = "<token>"


@pages.page("/imports", Permission.CHANGE, methods=("GET", "POST"), body_limit=UPLOAD_BODY)
def index() -> Answer:
    """List the files that are kept, and take a new one."""
    problem = ""
    if request.method == "POST":
        try:
            options = ImportOptions(form_id("department_id", "department"), "create_departments" in request.form)
            file = _uploaded()
            upload = site().imports.receive(administration(), cast("BinaryIO", file.stream), file.filename or "", options)
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
        else:
            return go_to("imports.show", token=upload.token)
    page = render_template(
        "imports/index.html",
        uploads=site().imports.uploads(),
        passwords=site().imports.waiting_passwords(),
        departments=department_choices(administration()),
        problem=problem,
    )
    return page, 400 if problem else 200


@pages.page(f"/imports/{UPLOAD}", Permission.CHANGE)
def show(token: str) -> Answer:
    """Show a file: how it is understood, how far its check or import is, and what came of it."""
    upload = site().imports.get(token)
    running = upload.job is not None and upload.job.state is State.RUNNING
    return render_template(
        "imports/show.html", upload=upload, running=running, labels=COLUMNS, State=State, passwords=site().imports.waiting_passwords()
    )


@pages.page(f"/imports/{UPLOAD}/check", Permission.CHANGE, methods=("POST",))
def check(token: str) -> Answer:
    """Find out which lines would be refused."""
    site().imports.start(site().imports.get(token), actor(), dry_run=True)
    return go_to("imports.show", token=token)


@pages.page(f"/imports/{UPLOAD}/run", Permission.CHANGE, methods=("POST",))
def run(token: str) -> Answer:
    """Import the file."""
    site().imports.start(site().imports.get(token), actor(), dry_run=False)
    return go_to("imports.show", token=token)


@pages.page(f"/imports/{UPLOAD}/stop", Permission.CHANGE, methods=("POST",))
def stop(token: str) -> Answer:
    """Stop the check or the import between two steps."""
    job = site().imports.get(token).job
    if job is not None:
        job.stop()
    return go_to("imports.show", token=token)


@pages.page(f"/imports/{UPLOAD}/discard", Permission.CHANGE, methods=("POST",))
def discard(token: str) -> Answer:
    """Forget the file."""
    site().imports.discard(site().imports.get(token))
    say(gettext("The file was discarded."))
    return go_to("imports.index")


@pages.page(f"/imports/{UPLOAD}/refused.csv", Permission.CHANGE)
def refused(token: str) -> Answer:
    """Answer with all lines that were refused, and why."""
    return _file("refused.csv", site().imports.refused_lines(site().imports.get(token)))


@pages.page("/imports/passwords", Permission.CHANGE, methods=("POST",))
def passwords() -> Answer:
    """Answer with a file of generated passwords, which is removed by that."""
    name = request.form.get("name", "")
    return _file(name, site().imports.take_passwords(name, actor()))


@pages.page("/imports/passwords/<name>/remove", Permission.CHANGE, methods=("GET", "POST"))
def remove_passwords(name: str) -> Answer:
    """Remove a file of generated passwords without sending it, after saying what that means."""
    if request.method == "POST":
        site().imports.remove_passwords(name, actor())
        say(gettext("The file of passwords was removed."))
        return go_to("imports.index")
    return render_template("imports/remove_passwords.html", name=site().imports.passwords(name).name)


def _uploaded() -> FileStorage:
    file = request.files.get("file")
    if file is None or not file.filename:
        raise RefusedError(gettext("No file was chosen."))
    return file


def _file(name: str, pieces: FilePieces) -> Response:
    response = FlaskResponse(pieces, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
