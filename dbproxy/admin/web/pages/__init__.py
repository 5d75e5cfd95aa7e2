"""The pages, a module for each topic."""

from __future__ import annotations

from dbproxy.admin.web.pages import accounts, assets, audit, home, login, own_account
from dbproxy.admin.web.views import Pages

PAGES: tuple[Pages, ...] = (
    assets.pages,
    home.pages,
    login.pages,
    own_account.pages,
    accounts.pages,
    audit.pages,
)
"""All that the application has."""
