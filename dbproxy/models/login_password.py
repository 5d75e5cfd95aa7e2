"""How IMUser stores passwords. The scheme is TeamTalk's, which its clients are bound to. Pure functions, any thread.

A client sends md5(password) in lower-case hex, its *digest*. The column ``password`` has md5(digest + salt), the column ``salt`` four
characters.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string

SALT_LENGTH = 4
"""Characters of a salt: what the column takes."""

_SALT_CHARACTERS = string.ascii_letters + string.digits


def digest_of(password: str) -> bytes:
    """Return what a client sends for a password."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest().encode()


def stored_password(digest: bytes, salt: bytes) -> str:
    """Return what the column ``password`` has for the digest of a password."""
    return hashlib.md5(digest + salt, usedforsecurity=False).hexdigest()


def is_right(stored: bytes, salt: bytes, digest: bytes) -> bool:
    """Whether the digest is that of the stored password, compared in constant time."""
    return hmac.compare_digest(stored_password(digest, salt).encode(), stored)


def new_salt() -> str:
    """Return a random salt."""
    return "".join(secrets.choice(_SALT_CHARACTERS) for _ in range(SALT_LENGTH))
