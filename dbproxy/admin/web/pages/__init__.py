"""The pages, a module for each topic."""

from __future__ import annotations

from dbproxy.admin.web.pages import (
    accounts,
    assets,
    audit,
    dashboard,
    departments,
    devices,
    groups,
    home,
    imports,
    login,
    messages,
    own_account,
    prune,
    users,
)
from dbproxy.admin.web.views import Pages

PAGES: tuple[Pages, ...] = (
    assets.pages,
    home.pages,
    dashboard.pages,
    login.pages,
    own_account.pages,
    users.pages,
    imports.pages,
    departments.pages,
    groups.pages,
    messages.pages,
    devices.pages,
    prune.pages,
    accounts.pages,
    audit.pages,
)
"""All that the application has."""
