"""Users whom a person names by id or login name: which ones these are, and whether they can be put into groups. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.texts import shown
from dbproxy.models.user_lookup import KnownUser, UserLookup
from dbproxy.models.user_writer import ACTIVE

SHOWN = 10
"""Names in a text of an error, at most."""

LARGEST_ID = 2**32 - 1
"""The largest id of a user, a department, a group or a message."""


BY_ID, BY_NAME = "id:", "name:"
"""What may stand before a reference, and does so if a number is the id of one user and the login name of another one."""


def find_users(lookup: UserLookup, wanted: Iterable[int | str]) -> list[KnownUser]:
    """Return the users whom these references mean, each once, in the order given. A reference is an id, a login name, ``id:12`` or
    ``name:12``; a text of digits is an id, or else, if no user has this id, a login name.

    Raises:
        NotFoundError: some do not exist.
        RefusedError: a reference means several users.

    """
    users, missing = resolve(lookup, wanted)
    if missing:
        raise unknown_users(missing)
    return users


def find_user(lookup: UserLookup, wanted: int | str) -> KnownUser:
    """Return the user whom a reference means.

    Raises:
        NotFoundError: there is none.
        RefusedError: it means several users.

    """
    (user,) = find_users(lookup, (wanted,))
    return user


def resolve(lookup: UserLookup, wanted: Iterable[int | str]) -> tuple[list[KnownUser], list[int | str]]:
    """Return the users whom references mean, as ``find_users`` does, and the references that mean none.

    Raises:
        RefusedError: a reference means several users.

    """
    asked = list(dict.fromkeys(_parsed(one) for one in wanted))
    by_id = lookup.by_id(number for one in asked if (number := as_id(one)) is not None)
    by_name = lookup.by_name(name for one in asked if (name := _as_name(one)) is not None)
    users: dict[int, KnownUser] = {}
    missing: list[int | str] = []
    ambiguous: list[str] = []
    for one in asked:
        number, name = as_id(one), _as_name(one)
        found = {user.user_id: user for user in by_name.get(name or "", ())}
        if number is not None and number in by_id:
            found[number] = by_id[number]
        if not found:
            missing.append(one)
        elif len(found) > 1:
            ambiguous.append(f"{shown(name or '')} ({' and '.join(map(str, sorted(found)))})")
        users |= found
    if ambiguous:
        raise RefusedError(f"several users have this login name or id; say {BY_ID}ID or {BY_NAME}NAME: {listed(ambiguous)}")
    return list(users.values()), missing


def unknown_users(references: Iterable[int | str]) -> NotFoundError:
    """Return the error for references that mean no user."""
    named = [shown(one) if isinstance(one, str) else one for one in references]
    return NotFoundError(f"there is no user with this id or login name: {listed(named)}")


def require_active(users: Iterable[KnownUser]) -> None:
    """Check that users may log in.

    Raises:
        RefusedError: some are disabled.

    """
    disabled = [f"{user.user_id} ({user.name.decode('utf-8', 'replace')})" for user in users if user.status != ACTIVE]
    if disabled:
        raise RefusedError(f"users who may not log in are not accepted: {listed(disabled)}")


def as_id(one: int | str) -> int | None:
    """Return the id that a reference may be; None for one that is none."""
    if isinstance(one, int):
        return one
    digits = one.removeprefix(BY_ID)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= LARGEST_ID else None


def _as_name(one: int | str) -> str | None:
    """Return the login name that a reference may be; None for one that is none."""
    if isinstance(one, int) or (one.startswith(BY_ID) and as_id(one) is not None):
        return None
    return one.removeprefix(BY_NAME)


def listed(items: Sequence[object]) -> str:
    """Return items as text, of many the first ones and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more


def _parsed(one: int | str) -> int | str:
    if isinstance(one, int):
        if not 0 <= one <= LARGEST_ID:
            raise unknown_users((one,))
        return one
    return one.strip().encode("utf-8", "replace").decode()  # arguments that are not UTF-8 have surrogates, which no name has
