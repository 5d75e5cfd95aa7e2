"""The overview: figures of the data."""

from __future__ import annotations

from flask import render_template

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.web.views import Pages, administration, site

pages = Pages("dashboard")


@pages.page("/overview", Permission.VIEW)
def show() -> str:
    """Show the figures. Who writes to whom is shown to those who may read conversations; others see groups, and that two people did."""
    figures = site().figures.get(administration())
    return render_template("dashboard/show.html", figures=figures, servers=site().backends.servers())
