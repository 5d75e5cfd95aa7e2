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


def find_users(lookup: UserLookup, wanted: Iterable[int | str]) -> list[KnownUser]:
    """Return the users with these ids or login names, each once, in the order given. A text of digits is an id, or else, if no user has
    this id, a login name.

    Raises:
        NotFoundError: some do not exist.
        RefusedError: a login name belongs to several users.

    """
    asked = list(dict.fromkeys(_parsed(one) for one in wanted))
    by_id = lookup.by_id(one for one in (as_id(one) for one in asked) if one is not None)
    names = [one for one in asked if isinstance(one, str) and as_id(one) not in by_id]
    by_name = lookup.by_name(names)
    unknown = [one for one in asked if as_id(one) not in by_id and (isinstance(one, int) or one not in by_name)]
    if unknown:
        named = [shown(one) if isinstance(one, str) else one for one in unknown]
        raise NotFoundError(f"there is no user with this id or login name: {listed(named)}")
    ambiguous = [f"{shown(name)} ({' and '.join(str(user.user_id) for user in by_name[name])})" for name in names if len(by_name[name]) > 1]
    if ambiguous:
        raise RefusedError(f"several users have this login name; give the id: {listed(ambiguous)}")
    users = [by_id[number] if (number := as_id(one)) in by_id else by_name[str(one)][0] for one in asked]
    return list({user.user_id: user for user in users}.values())


def require_active(users: Iterable[KnownUser]) -> None:
    """Check that users may log in.

    Raises:
        RefusedError: some are disabled.

    """
    disabled = [f"{user.user_id} ({user.name.decode('utf-8', 'replace')})" for user in users if user.status != ACTIVE]
    if disabled:
        raise RefusedError(f"users who may not log in are not accepted: {listed(disabled)}")


def as_id(one: int | str) -> int | None:
    """Return the id that a text or a number may be; None for a text that is none."""
    if isinstance(one, int):
        return one
    return int(one) if one.isascii() and one.isdigit() and len(one) <= 10 and int(one) <= LARGEST_ID else None


def listed(items: Sequence[object]) -> str:
    """Return items as text, of many the first ones and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more


def _parsed(one: int | str) -> int | str:
    if isinstance(one, int):
        if not 0 <= one <= LARGEST_ID:
            raise NotFoundError(f"there is no user with this id or login name: {one}")
        return one
    return one.strip().encode("utf-8", "replace").decode()  # arguments that are not UTF-8 have surrogates, which no name has
