"""Style sheets, scripts and pictures. Everybody gets them: the login page has them too, and nothing secret is in them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import abort, request
from werkzeug.utils import send_file
from werkzeug.wrappers import Response

from dbproxy.admin.web.views import Pages

pages = Pages("assets")

_OWN = Path(__file__).parent.parent / "static"
_DASHBOARD = Path(str(files("dbproxy.ops"))) / "dashboard"

_SHARED = {
    "theme.css": _DASHBOARD / "theme.css",
    "icon.svg": _DASHBOARD / "icon.svg",
    "uplot.css": _DASHBOARD / "vendor" / "uplot" / "uPlot.min.css",
    "uplot.js": _DASHBOARD / "vendor" / "uplot" / "uPlot.iife.min.js",
}
"""What the dashboard of the daemon has as well."""

_FILES = {**{path.name: path for path in _OWN.glob("*.*")}, **_SHARED}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@pages.page("/static/<name>", None)
def send(name: str) -> Response:
    """Send one of the files; what is not in the list cannot be reached, whatever the name."""
    path = _FILES.get(name)
    if path is None:
        abort(404)
    response = send_file(path, request.environ, mimetype=_TYPES[path.suffix], conditional=True, max_age=3600)
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response
