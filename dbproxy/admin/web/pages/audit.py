"""The audit log, for owners."""

from __future__ import annotations

import json
from typing import Any

from flask import render_template

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.web.views import Pages, query_number, site

pages = Pages("audit")

_ON_A_PAGE = 50


@pages.page("/audit", Permission.AUDIT)
def show() -> str:
    """Show a page of the log, newest first."""
    after = query_number("after")
    entries, following = site().log.newest(_ON_A_PAGE, after)
    return render_template("audit.html", entries=[_shown(entry) for entry in entries], following=following, after=after)


def _shown(entry: dict[str, Any]) -> dict[str, str]:
    """Every field as a text: a line may have been written by another version."""
    shown = {key: str(entry.get(key, "")) for key in ("time", "actor", "origin", "action", "target", "outcome")}
    shown["time"] = shown["time"].replace("T", " ").removesuffix("+00:00")
    details = entry.get("details")
    return {**shown, "details": json.dumps(details, ensure_ascii=False) if details else ""}
