"""MemberChanges: adds and removes members of groups: through http_msg_server where it is configured, otherwise directly. Any thread.

Directly means as a proxy does it, under the same locks; but no msg_server hears of it. http_msg_server lets a proxy do it and tells all
clients that are online. It has to be configured (``HttpMsgServer``), and where it is, a change that it refuses is not made behind its back.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.groups.http_msg_server import ADD, MAX_USERS, REMOVE, HttpMsgServer, HttpMsgServerError, NoAnswerError
from dbproxy.admin.texts import shown
from dbproxy.models.group_writer import SYSTEM_USER

if TYPE_CHECKING:
    from dbproxy.admin.installation import Installation

TOLD = "http_msg_server has made the change, and tells the clients that are online"
NOT_TOLD = "clients that are online are not told; they see it when they log in again"
NOT_TOLD_OF_GROUP = "clients that are online are not told; they see the group with its first message, or when they log in again"
IS_OFF = "HttpMsgServer is off"
TOO_MANY = f"http_msg_server is not used for more than {MAX_USERS:,} users at once"
NO_MEMBERS = "http_msg_server can do nothing with a group without members"
WOULD_TELL = "http_msg_server would make the change, and tell the clients that are online"
NOTHING = "nothing to change: it is so already"

CHECKS, CHECK_PAUSE = 10, 0.2
"""How often, and at which interval in seconds, the members are looked at until a change that was made elsewhere is seen: in a cluster it
may have been made on another node.
"""


class MemberChanges:
    """Changes of members. The callers have checked that the group is active and the users exist; user ids are ascending."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._directory = installation.group_directory
        self._http = installation.http_msg_server

    def create(self, creator: int, name: str, avatar: str, group_type: int, user_ids: Sequence[int]) -> tuple[int, str]:
        """Create a group with these members, the creator among them, and return its id and the notice.

        With http_msg_server the group is created with its creator, and the others are added through it, so that their clients are told:
        what it offers for creating groups does not do that.

        Raises:
            RefusedError: the database refuses the name or the avatar.

        """
        others = [user_id for user_id in user_ids if user_id != creator]
        http = self._http_for(others)
        first = [creator] if http else user_ids
        group_id = self._installation.group_writer.create(creator, name, avatar, group_type, first)
        if group_id is None:
            raise RefusedError(f"the database refuses the name {shown(name)} or the avatar {shown(avatar)}")
        if http is None:
            return group_id, self._reason(others, NOT_TOLD_OF_GROUP)
        try:
            self._change_through(http, group_id, ADD, others)
        except AdminError as error:
            self._installation.group_writer.change_members(SYSTEM_USER, group_id, ADD, others)
            return group_id, f"{NOT_TOLD_OF_GROUP}: {error}"
        return group_id, TOLD

    def add(self, group_id: int, user_ids: Sequence[int], *, dry_run: bool) -> tuple[Sequence[int], str]:
        """Add users who are not in the group; returns those who were added, and the notice.

        Raises:
            HttpMsgServerError, NoAnswerError: see ``Groups.add_members``.
            RefusedError: the group was dismissed meanwhile.

        """
        if not user_ids:
            return (), NOTHING
        http, notice = self._http_for(user_ids), self._reason(user_ids, NOT_TOLD)
        if http and not self._installation.members.existing((group_id,)):  # for proxies it does not exist
            http, notice = None, f"{NO_MEMBERS}: {NOT_TOLD}"
        if dry_run:
            return user_ids, WOULD_TELL if http else notice
        if http:
            return self._change_through(http, group_id, ADD, user_ids)
        change = self._installation.group_writer.change_members(SYSTEM_USER, group_id, ADD, user_ids)
        if change is not None:
            return change.changed, notice
        record = self._directory.get(group_id)
        if record is None or not record.is_active:
            raise RefusedError(f"group {group_id} was dismissed meanwhile")
        return (), NOTHING  # somebody else was faster

    def remove(self, group_id: int, user_ids: Sequence[int], *, dry_run: bool) -> tuple[Sequence[int], str]:
        """Remove users who are in the group; returns them, and the notice. Errors as ``add``."""
        if not user_ids:
            return (), NOTHING
        http, notice = self._http_for(user_ids), self._reason(user_ids, NOT_TOLD)
        if dry_run:
            return user_ids, WOULD_TELL if http else notice
        if http:
            return self._change_through(http, group_id, REMOVE, user_ids)
        self._installation.group_writer.change_members(SYSTEM_USER, group_id, REMOVE, user_ids)
        return user_ids, notice

    def dismiss(self, group_id: int, *, dry_run: bool) -> tuple[Sequence[int], str]:
        """Dismiss a group; returns its former members, and the notice. With http_msg_server the members are removed through it before;
        a group whose members are gone, but which could not be dismissed, can be dismissed again. Errors as ``add``.
        """
        members = list(self._directory.member_ids(group_id))
        http, notice = self._http_for(members), self._reason(members, NOT_TOLD)
        if dry_run:
            return members, WOULD_TELL if http else notice
        removed: Sequence[int] = ()
        if http:
            removed, notice = self._change_through(http, group_id, REMOVE, members)
        former = self._installation.group_changes.dismiss(group_id)
        if former is None:
            raise RefusedError(f"group {group_id} was dismissed meanwhile")
        return sorted({*removed, *former}), notice

    def notice_of_creation(self, creator: int, user_ids: Sequence[int]) -> str:
        """The notice for a group that would be created."""
        others = [user_id for user_id in user_ids if user_id != creator]
        return WOULD_TELL if self._http_for(others) else self._reason(others, NOT_TOLD_OF_GROUP)

    def _http_for(self, user_ids: Collection[int]) -> HttpMsgServer | None:
        """The http_msg_server, if there is one and it takes so many users; for others the change is made directly."""
        return self._http if 0 < len(user_ids) <= MAX_USERS else None

    def _reason(self, user_ids: Collection[int], consequence: str) -> str:
        """The notice for a change of so many users that is made directly."""
        if self._http is None:
            return f"{IS_OFF}: {consequence}"
        return f"{TOO_MANY}: {consequence}" if len(user_ids) > MAX_USERS else consequence

    def _change_through(self, http: HttpMsgServer, group_id: int, modify_type: int, user_ids: Sequence[int]) -> tuple[Sequence[int], str]:
        """Let http_msg_server make a change, and see that it was made. Nothing is asked for twice: where it is not known what has
        happened, the members say what is the case.
        """
        try:
            http.change_members(group_id, modify_type, user_ids)
        except HttpMsgServerError as error:
            if self._differing(group_id, modify_type, user_ids):
                raise HttpMsgServerError(f"{error}; nothing has changed. With HttpMsgServer=off clients would not be told") from error
            return (), NOTHING  # somebody else was faster
        except NoAnswerError as error:
            differing = self._differing(group_id, modify_type, user_ids)
            if not differing:
                return user_ids, f"{error}; but the change is made. It is not known whether clients that are online were told"
            wanted = "are members" if modify_type == ADD else "are no members any more"
            raise NoAnswerError(
                f"{error}. At the moment {len(user_ids) - len(differing)} of {len(user_ids)} users {wanted}; it may still make the change: "
                f"look at the members of group {group_id} before you try again"
            ) from error
        for _ in range(CHECKS):
            if not self._differing(group_id, modify_type, user_ids):
                return user_ids, TOLD
            time.sleep(CHECK_PAUSE)
        raise AdminError(
            f"http_msg_server ({http.url}) says that the change is made, but the database of this configuration does not have it: does it "
            "belong to the same installation?"
        )

    def _differing(self, group_id: int, modify_type: int, user_ids: Collection[int]) -> set[int]:
        """Those of the users for whom a change has no effect yet."""
        present = self._directory.members_among(group_id, user_ids)
        return set(user_ids) - present if modify_type == ADD else present
