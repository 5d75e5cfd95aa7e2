"""The errors that a person who administers an installation is told. Their texts name what was given and what is accepted."""

from __future__ import annotations

from dbproxy.errors import DbproxyError


class AdminError(DbproxyError):
    """What was asked for is not done, and nothing has changed; the text says why."""


class NotFoundError(AdminError):
    """There is no such user, department, group, conversation or message."""


class RefusedError(AdminError):
    """A value is not accepted, or the change would break a rule."""


class SettingsError(AdminError):
    """The configuration cannot be used, and starting again would not help."""


class ForbiddenError(AdminError):
    """The configuration or the role of the account does not allow it."""
