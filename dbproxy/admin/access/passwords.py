"""Passwords of users: what is accepted, and how new ones are made. Pure; any thread."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from dbproxy.admin.errors import RefusedError
from dbproxy.models.login_password import digest_of, new_salt, stored_password

SHORTEST, LONGEST = 6, 64
"""Characters of a password."""

GENERATED_LENGTH = 12
"""Characters of a generated password: 69 bits."""

_CHARACTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without those that look alike."""


class StoredSecret(NamedTuple):
    """The columns ``password`` and ``salt``."""

    password: str
    salt: str


def generated_password() -> str:
    """Return a random password."""
    return "".join(secrets.choice(_CHARACTERS) for _ in range(GENERATED_LENGTH))


def check_password(password: str) -> None:
    """Check that a password is long enough and can be typed.

    Raises:
        RefusedError: it is not accepted; the text does not contain it.

    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise RefusedError(f"the password has {len(password)} characters; {SHORTEST} to {LONGEST} are accepted")
    if not password.isprintable():
        raise RefusedError("the password has a control character, which is not accepted")


def stored_secret(password: str) -> StoredSecret:
    """Return what is stored of a password, with a new salt."""
    salt = new_salt()
    return StoredSecret(stored_password(digest_of(password), salt.encode()), salt)
