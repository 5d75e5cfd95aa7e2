"""How people name a user: by the id, or by the login name. Any thread."""

from __future__ import annotations

from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.texts import shown
from dbproxy.admin.users import UserDetails, Users

BY_ID, BY_NAME = "id:", "name:"
"""What stands before a reference that would be ambiguous."""


def find_user(users: Users, reference: str) -> UserDetails:
    """Return the user whose id or login name this is: ``12``, ``alice``, ``id:12``, ``name:12``.

    Raises:
        NotFoundError: there is none.
        RefusedError: a number is the id of one user and the name of another one.

    """
    if reference.startswith(BY_NAME):
        return users.get(reference.removeprefix(BY_NAME))
    digits = reference.removeprefix(BY_ID)
    if not (digits.isascii() and digits.isdigit()):
        return users.get(reference)
    by_id = _found(users, int(digits))
    by_name = None if reference.startswith(BY_ID) else _found(users, reference)
    if by_id is not None and by_name is not None and by_id.user_id != by_name.user_id:
        raise RefusedError(
            f"{reference} is the id of {shown(by_id.name)} and the name of the user with the id {by_name.user_id}; "
            f"write {BY_ID}{reference} or {BY_NAME}{reference}"
        )
    found = by_id or by_name
    if found is None:
        raise NotFoundError(f"there is no user with the id or the name {reference}")
    return found


def _found(users: Users, user: int | str) -> UserDetails | None:
    try:
        return users.get(user)
    except NotFoundError:
        return None
