"""Devices: the phones that get push notifications. Any thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.page import LARGEST_PAGE, Page
from dbproxy.admin.people.named_users import find_users
from dbproxy.models.device import ANDROID, IOS, Phone

SHOWN = 8
"""Characters of a token that are shown: a complete token allows to send to the phone."""

_TYPES = {IOS: "ios", ANDROID: "android"}


@dataclass(frozen=True, slots=True)
class Device:
    """A user's phone. ``name`` is the login name, empty when there is no such user; ``client_type`` is ``ios``, ``android`` or ``other``,
    which gets no pushes; ``token`` is the beginning of it.
    """

    user_id: int
    name: str
    client_type: str
    token: str


class Devices:
    """The tokens of phones, each of which is that of the last login. All methods raise StoreError when a backend fails."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        self._devices = administration.installation.devices
        self._lookup = administration.installation.user_lookup

    def find(self, after: int | None = None, limit: int = 50) -> Page[Device]:
        """A page of all phones, in no particular order: about ``limit`` of them, up to some hundred more, or fewer although others follow.
        One may be on two pages.

        Raises:
            RefusedError: the limit is too large.

        """
        if not 0 < limit <= LARGEST_PAGE:
            raise RefusedError(f"the limit is {limit}; accepted are 1 to {LARGEST_PAGE}")
        phones, following = self._devices.phones(after or 0, limit)
        return Page(self._named(phones), following)

    def of_user(self, user_id: int | str) -> Device | None:
        """The phone of a user, who is named by id or login name; None when they have none.

        Raises:
            NotFoundError: there is no such user.

        """
        phone = self._devices.phone_of(find_users(self._lookup, [user_id])[0].user_id)
        return None if phone is None else self._named([phone])[0]

    def forget(self, user_id: int | str, *, dry_run: bool = False) -> Device:
        """Send no more pushes to the phone of a user, until it logs in again; returns the phone.

        Raises:
            NotFoundError: there is no such user, or they have no phone.

        """
        with self._administration.recorded("devices.forget", f"user {user_id}", dry_run=dry_run):
            device = self.of_user(user_id)
            if device is None or not (dry_run or self._devices.forget(device.user_id)):
                raise NotFoundError(f"user {user_id} has no phone that gets pushes")
            return device

    def _named(self, phones: Iterable[Phone]) -> list[Device]:
        found = list(phones)
        users = self._lookup.by_id(phone.user_id for phone in found)
        return [
            Device(
                phone.user_id,
                users[phone.user_id].name.decode("utf-8", "replace") if phone.user_id in users else "",
                _TYPES.get(phone.client_type, "other"),
                _shortened(phone.token.decode("utf-8", "replace")),
            )
            for phone in found
        ]


def _shortened(token: str) -> str:
    return token if len(token) <= SHOWN else f"{token[:SHOWN]}…"
