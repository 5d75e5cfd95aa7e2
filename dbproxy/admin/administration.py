"""Administration: everything that one person may do with an installation; what the command line and the web application share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.errors import ForbiddenError
from dbproxy.admin.installation import Installation
from dbproxy.config import AdminSettings


def require_reading(settings: AdminSettings) -> None:
    """Check that conversations may be read.

    Raises:
        ForbiddenError: the configuration does not allow it.

    """
    if not settings.read_messages:
        raise ForbiddenError("conversations may not be read, searched or exported here: AdminReadMessages is off")


class Administration:
    """What ``actor`` may do. Light: made for each command and each request. Any thread.

    Every change goes through ``recorded``, so that nobody can change anything without a line in the audit log; so does the reading of
    conversations.
    """

    def __init__(self, installation: Installation, actor: Actor, log: AuditLog) -> None:
        self.installation = installation
        self.actor = actor
        self.log = log

    @contextmanager
    def recorded(self, action: str, target: str, *, dry_run: bool = False, **details: object) -> Iterator[dict[str, object]]:
        """Record in the audit log what the block does, with its outcome; with ``dry_run`` nothing is recorded. The block may add details.

        Raises:
            AdminError: the audit log cannot be written.

        """
        if dry_run:
            yield {}
            return
        with self.log.recorded(self.actor, action, target, details) as found:
            yield found

    def require_reading(self) -> None:
        """As the function ``require_reading``, for this installation."""
        require_reading(self.installation.config.admin)
