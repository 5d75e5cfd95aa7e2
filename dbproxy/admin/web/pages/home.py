"""The address without a path."""

from __future__ import annotations

from werkzeug.wrappers import Response

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.web.views import Pages, go_to

pages = Pages("home")


@pages.page("/", Permission.SIGNED_IN)
def show() -> Response:
    """Go to the first page that is worth a look."""
    return go_to("dashboard.show")
