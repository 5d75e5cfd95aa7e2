"""What the accounts of the web application may do: the only place that says it. Pure; any thread.

The command line has no roles: whoever may read the configuration there has the passwords of MySQL and Redis.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Role(enum.Enum):
    """What an account is for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"


class Permission(enum.Enum):
    """What a page needs."""

    SIGNED_IN = "signed in"
    """Every account has it: logging out, its own password."""
    VIEW = "view"
    """Lists and statistics, without the contents of messages."""
    READ = "read"
    """Conversations; ``AdminReadMessages`` may forbid it to everybody."""
    CHANGE = "change"
    """Users, departments, groups, devices; hiding messages; imports and exports."""
    PRUNE = "prune"
    """Taking old messages out of the database."""
    ACCOUNTS = "accounts"
    """The accounts of this application."""
    AUDIT = "audit"
    """The audit log."""


_VIEWER = frozenset({Permission.SIGNED_IN, Permission.VIEW})
_OPERATOR = _VIEWER | {Permission.READ, Permission.CHANGE}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.OWNER: _OPERATOR | {Permission.PRUNE, Permission.ACCOUNTS, Permission.AUDIT},
}


def may(role: Role, permission: Permission) -> bool:
    """Whether accounts of this role have a permission."""
    return permission in PERMISSIONS[role]
