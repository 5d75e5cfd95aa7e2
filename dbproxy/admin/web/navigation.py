"""The links at the top of every page."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request
from flask_babel import LazyString, lazy_gettext

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.web.views import has


@dataclass(frozen=True, slots=True)
class Link:
    """One link: shown to those who may follow it."""

    endpoint: str
    text: LazyString
    permission: Permission

    @property
    def is_current(self) -> bool:
        """Whether the page belongs to the topic of the link."""
        return (request.endpoint or "").partition(".")[0] == self.endpoint.partition(".")[0]


LINKS: tuple[Link, ...] = (
    Link("dashboard.show", lazy_gettext("Overview"), Permission.VIEW),
    Link("users.index", lazy_gettext("Users"), Permission.VIEW),
    Link("departments.index", lazy_gettext("Departments"), Permission.VIEW),
    Link("groups.index", lazy_gettext("Groups"), Permission.VIEW),
    Link("messages.index", lazy_gettext("Conversations"), Permission.READ),
    Link("devices.index", lazy_gettext("Devices"), Permission.VIEW),
    Link("prune.index", lazy_gettext("Archive"), Permission.PRUNE),
    Link("accounts.index", lazy_gettext("Accounts"), Permission.ACCOUNTS),
    Link("audit.show", lazy_gettext("Audit log"), Permission.AUDIT),
)
"""In the order in which they stand."""


def links() -> list[Link]:
    """Return the links for whoever is logged in."""
    return [link for link in LINKS if has(link.permission)]
