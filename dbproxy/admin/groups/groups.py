"""Groups: lists them, creates them, changes their members, renames, transfers and dismisses them. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.groups.group_views import KINDS, STATUSES, GroupChange, GroupDetails, GroupRow, Member, details_of, member_of, row_of
from dbproxy.admin.groups.member_changes import NOT_TOLD, MemberChanges
from dbproxy.admin.page import LARGEST_PAGE, Page, cut
from dbproxy.admin.people.named_users import as_id, find_users, require_active, resolve, unknown_users
from dbproxy.admin.texts import check_name, check_text, shown
from dbproxy.errors import StatementError
from dbproxy.models.group_directory import GroupRecord
from dbproxy.models.group_writer import MAX_MEMBERS
from dbproxy.stores.mysql.errors import VALUE_REFUSED

__all__ = ["GroupChange", "GroupDetails", "GroupRow", "Groups", "Member"]


class Groups:
    """The groups of an installation. Users are given as ids or login names.

    All methods raise StoreError when a backend fails; those that change something raise AdminError when the audit log cannot be written.
    """

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        self._installation = administration.installation
        self._directory = administration.installation.group_directory
        self._lookup = administration.installation.user_lookup
        self._members = MemberChanges(administration.installation)

    # reading

    def find(self, text: str = "", status: str | None = None, after: int | None = None, limit: int = 50) -> Page[GroupRow]:
        """A page of groups by id: those whose name contains ``text``, or whose id it is; active, dismissed, or (None) both.

        Raises:
            RefusedError: there is no such status, or the limit is too large.

        """
        if status is not None and status not in STATUSES:
            raise RefusedError(f"the status is {shown(status)}; accepted are {', '.join(STATUSES)}")
        _check_limit(limit)
        active = None if status is None else STATUSES[status]
        records = self._directory.find(text.strip().encode("utf-8", "replace").decode(), active, after or 0, limit + 1)
        page = cut(records, limit, records[:limit][-1].group_id if records else None)
        return Page([row_of(record) for record in page.entries], page.following)

    def get(self, group_id: int) -> GroupDetails:
        """A group.

        Raises:
            NotFoundError: there is none with this id.

        """
        return details_of(self._record(group_id), self._directory.last_msg_id(group_id))

    def members(self, group_id: int, after: int | None = None, limit: int = 100) -> Page[Member]:
        """A page of the members of a group, by id.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: the limit is too large.

        """
        self._record(group_id)
        _check_limit(limit)
        found = self._directory.members(group_id, -1 if after is None else after, limit + 1)
        page = cut(found, limit, found[:limit][-1].user_id if found else None)
        return Page([member_of(record) for record in page.entries], page.following)

    # changing

    def create(
        self,
        name: str,
        creator_id: int | str,
        member_ids: Iterable[int | str],
        kind: str = "normal",
        avatar: str = "",
        *,
        dry_run: bool = False,
    ) -> GroupChange:
        """Create a group; the creator is a member, too.

        Raises:
            NotFoundError: a user does not exist.
            RefusedError: a name, an avatar or a kind is not accepted, a user is disabled, or there are more than ``MAX_MEMBERS``.

        """
        with self._recorded("create", name, dry_run, creator=creator_id, kind=kind) as found:
            if kind not in KINDS:
                raise RefusedError(f"the kind is {shown(kind)}; accepted are {', '.join(KINDS)}")
            columns = self._directory.columns()
            check_name("name", name, columns["name"])
            check_text("avatar", avatar, columns["avatar"])
            (creating,) = find_users(self._lookup, [creator_id])
            users = find_users(self._lookup, _bounded(chain([creating.user_id], member_ids)))
            require_active(users)
            user_ids = sorted(user.user_id for user in users)
            found["members"] = user_ids
            if dry_run:
                return GroupChange(None, user_ids, self._members.notice_of_creation(creating.user_id, user_ids))
            group_id, notice = self._members.create(creating.user_id, name, avatar, KINDS[kind], user_ids)
            found["group"] = group_id
            return GroupChange(self.get(group_id), user_ids, notice)

    def rename(self, group_id: int, name: str, *, dry_run: bool = False) -> GroupChange:
        """Give a group another name.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: the name is not accepted, or the group is dismissed.

        """
        with self._recorded("rename", _target(group_id), dry_run, name=name):
            self._active(group_id)
            check_name("name", name, self._directory.columns()["name"])
            if not dry_run:
                try:
                    renamed = self._installation.group_changes.rename(group_id, name)
                except StatementError as error:
                    if error.code not in VALUE_REFUSED:
                        raise
                    raise RefusedError(f"the database refuses the name {shown(name)}: {error}") from None
                if not renamed:
                    raise RefusedError(f"group {group_id} was dismissed meanwhile")
            return GroupChange(self.get(group_id), (), NOT_TOLD)

    def transfer(self, group_id: int, user_id: int | str, *, dry_run: bool = False) -> GroupChange:
        """Make a member the creator, who alone may remove members and, in a normal group, add some.

        Raises:
            NotFoundError: there is no such group or user.
            RefusedError: the user is not in the group or disabled, or the group is dismissed.

        """
        with self._recorded("transfer", _target(group_id), dry_run, user=user_id):
            self._active(group_id)
            (wanted,) = find_users(self._lookup, [user_id])
            require_active([wanted])
            if not self._directory.members_among(group_id, [wanted.user_id]):
                raise RefusedError(f"user {wanted.user_id} is not in group {group_id}; only a member can be its creator")
            if not dry_run and not self._installation.group_changes.transfer(group_id, wanted.user_id):
                raise RefusedError(f"group {group_id} was dismissed, or user {wanted.user_id} has left it, meanwhile")
            return GroupChange(self.get(group_id), (wanted.user_id,), NOT_TOLD)

    def add_members(self, group_id: int, user_ids: Iterable[int | str], *, dry_run: bool = False) -> GroupChange:
        """Add users to a group; those who are in it already are left out.

        Raises:
            NotFoundError: there is no such group or user.
            RefusedError: a user is disabled, the group is dismissed, or it would have more than ``MAX_MEMBERS``.
            HttpMsgServerError, NoAnswerError: the http_msg_server that is configured did not do it; the text says what is the case now.

        """
        asked = _bounded(user_ids)
        with self._recorded("members.add", _target(group_id), dry_run, users=asked) as found:
            record = self._active(group_id)
            wanted = find_users(self._lookup, asked)
            require_active(wanted)
            ids = {user.user_id for user in wanted}
            new = sorted(ids - self._directory.members_among(group_id, ids))
            if record.members + len(new) > MAX_MEMBERS:
                raise RefusedError(f"group {group_id} has {record.members} members; with {len(new)} more it would exceed {MAX_MEMBERS}")
            changed, notice = self._members.add(group_id, new, dry_run=dry_run)
            found["added"] = changed
            return GroupChange(self.get(group_id), changed, notice)

    def remove_members(self, group_id: int, user_ids: Iterable[int | str], *, dry_run: bool = False) -> GroupChange:
        """Remove users from a group; those who are not in it are left out. They can neither read nor write in it from now on.

        Raises:
            NotFoundError: there is no such group or user.
            RefusedError: a user is the creator, nobody would be left, or the group is dismissed.
            HttpMsgServerError, NoAnswerError: as ``add_members``.

        """
        asked = _bounded(user_ids)
        with self._recorded("members.remove", _target(group_id), dry_run, users=asked) as found:
            record = self._active(group_id)
            present = self._present(group_id, asked)
            if record.creator in present:
                raise RefusedError(
                    f"user {record.creator} is the creator of group {group_id}, and could come back at any time: transfer the group first"
                )
            if present and len(present) >= record.members:
                raise RefusedError(f"group {group_id} would have no members any more: dismiss it instead")
            changed, notice = self._members.remove(group_id, present, dry_run=dry_run)
            found["removed"] = changed
            return GroupChange(self.get(group_id), changed, notice)

    def dismiss(self, group_id: int, *, dry_run: bool = False) -> GroupChange:
        """Remove all members of a group, for good; its messages stay.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: it is dismissed already.
            HttpMsgServerError, NoAnswerError: as ``add_members``.

        """
        with self._recorded("dismiss", _target(group_id), dry_run) as found:
            self._active(group_id)
            changed, notice = self._members.dismiss(group_id, dry_run=dry_run)
            found["removed"] = changed
            return GroupChange(self.get(group_id), changed, notice)

    # what they have in common

    def _recorded(self, action: str, target: str, dry_run: bool, **details: object) -> AbstractContextManager[dict[str, object]]:
        return self._administration.recorded(f"groups.{action}", target, dry_run=dry_run, **details)

    def _record(self, group_id: int) -> GroupRecord:
        record = self._directory.get(group_id)
        if record is None:
            raise NotFoundError(f"there is no group {group_id}")
        return record

    def _active(self, group_id: int) -> GroupRecord:
        record = self._record(group_id)
        if not record.is_active:
            raise RefusedError(f"group {group_id} is dismissed, and cannot be changed any more")
        return record

    def _present(self, group_id: int, asked: Sequence[int | str]) -> list[int]:
        """The ids of those who are in the group, ascending. A member who is not among the users any more is found by the id."""
        users, missing = resolve(self._lookup, asked)
        former = self._directory.members_among(group_id, {number for one in missing if (number := as_id(one)) is not None})
        unknown = [one for one in missing if as_id(one) not in former]
        if unknown:
            raise unknown_users(unknown)
        return sorted(former | self._directory.members_among(group_id, {user.user_id for user in users}))


def _bounded(users: Iterable[int | str]) -> list[int | str]:
    asked: list[int | str] = []
    for user in users:
        if len(asked) == MAX_MEMBERS:
            raise RefusedError(f"more than {MAX_MEMBERS} users are given; accepted are up to so many at once")
        asked.append(user)
    if not asked:
        raise RefusedError("no users are given")
    return asked


def _check_limit(limit: int) -> None:
    if not 0 < limit <= LARGEST_PAGE:
        raise RefusedError(f"the limit is {limit}; accepted are 1 to {LARGEST_PAGE}")


def _target(group_id: int) -> str:
    return f"group {group_id}"
