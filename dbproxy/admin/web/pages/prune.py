"""Pages that take old messages out of the database, counted first, and put archived ones back. The thread of the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import render_template, request
from flask_babel import gettext

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.messages.archive import PrunePlan, PruneProgress, PruneReport, Pruning, archive_directory
from dbproxy.admin.messages.archive_restore import RestoreProgress, RestoreReport, Restoring
from dbproxy.admin.messages.archive_run import runs
from dbproxy.admin.web.jobs import Job, State
from dbproxy.admin.web.pages.inputs import Answer, beginning_of_day
from dbproxy.admin.web.views import Pages, actor, form_text, go_to, site

pages = Pages("prune")

Result = PrunePlan | PruneReport | RestoreReport

KIND = "prune"
"""Of the jobs: one counts, archives or puts back at a time."""

LONGEST_TIME = 11
"""Digits of unix seconds."""

LONGEST_NAME = 60
"""Characters of the name of an archive."""

SHOWN = 50
"""Archives that are listed, the newest ones."""


@pages.page("/prune", Permission.PRUNE)
def index() -> Answer:
    """Show how far the last job is, or what came of it."""
    return _page()


@pages.page("/prune/plan", Permission.PRUNE, methods=("POST",))
def plan() -> Answer:
    """Count what is older than a day; nothing is changed."""
    try:
        before = _day()
        _start(lambda _, administration: Pruning(administration).plan(before))
    except RefusedError as refusal:
        return _page(str(refusal)), 400
    return go_to("prune.index")


@pages.page("/prune/run", Permission.PRUNE, methods=("POST",))
def run() -> Answer:
    """Archive and remove what was counted."""
    given = form_text("before", LONGEST_TIME)
    if not (given.isascii() and given.isdigit()):
        return _page(gettext("The form is not complete. Nothing has been changed.")), 400

    def work(job: Job, administration: Administration) -> PruneReport:
        def on_progress(progress: PruneProgress) -> None:
            job.note = f"{progress.step} {progress.table}"
            job.progress(progress.rows)

        return Pruning(administration).run(int(given), on_progress)

    try:
        _start(work)
    except RefusedError as refusal:
        return _page(str(refusal)), 400
    return go_to("prune.index")


@pages.page("/prune/restore", Permission.PRUNE, methods=("POST",))
def restore() -> Answer:
    """Put the messages of an archive back."""
    name = form_text("name", LONGEST_NAME)
    try:
        found = [run for run in runs(_directory()) if run.path.name == name]
    except AdminError as error:
        return _page(str(error)), 400
    if not found:
        return _page(gettext("There is no such archive. Nothing has been changed.")), 400

    def work(job: Job, administration: Administration) -> RestoreReport:
        def on_progress(progress: RestoreProgress) -> None:
            job.note = f"restored {progress.table}"
            job.progress(progress.rows, progress.total)

        return Restoring(administration, found[0].path).run(on_progress)

    try:
        _start(work)
    except RefusedError as refusal:
        return _page(str(refusal)), 400
    return go_to("prune.index")


@pages.page("/prune/stop", Permission.PRUNE, methods=("POST",))
def stop() -> Answer:
    """Stop after the step that is being done; the next run goes on from there."""
    job = site().jobs.last(KIND)
    if job is not None:
        job.stop()
    return go_to("prune.index")


def _day() -> int:
    found = beginning_of_day(form_text("day", 20), "day")
    if found is None:
        raise RefusedError(gettext("No day was given."))
    return found


def _start(work: Callable[[Job, Administration], Result]) -> None:
    """Do the work in a thread, for the account of this request, with a place at the backends of its own."""
    backends, log, who = site().backends, site().log, actor()

    def with_backends(job: Job) -> Result:
        administration = Administration(backends.take(), who, log)
        try:
            return work(job, administration)
        finally:
            backends.release()

    site().jobs.start(KIND, who.name, with_backends, Permission.PRUNE)


def _directory() -> Path:
    return archive_directory(site().directory)


def _page(problem: str = "") -> str:
    job = site().jobs.last(KIND)
    done = job.result if job is not None and job.state is State.DONE else None
    try:
        archives = runs(_directory())
    except AdminError as error:
        archives, problem = [], problem or str(error)
    return render_template(
        "prune/index.html",
        job=job,
        running=job is not None and job.state is State.RUNNING,
        plan=done if isinstance(done, PrunePlan) else None,
        report=done if isinstance(done, PruneReport) else None,
        restored=done if isinstance(done, RestoreReport) else None,
        archives=archives[: -SHOWN - 1 : -1],
        State=State,
        day=request.form.get("day", "")[:20],
        problem=problem,
    )
