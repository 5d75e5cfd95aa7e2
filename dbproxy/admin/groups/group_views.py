"""What ``Groups`` returns. Texts are shown as they can be: bytes that are not UTF-8 are replaced. Times are unix seconds. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.models.group import NORMAL, TEMPORARY
from dbproxy.models.group_directory import GroupRecord, MemberRecord

KINDS = {"normal": NORMAL, "temporary": TEMPORARY}
_KIND_OF = {number: kind for kind, number in KINDS.items()}

STATUSES = {"active": True, "dismissed": False}


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group in a list."""

    group_id: int
    name: str
    kind: str
    """``normal`` or ``temporary``."""
    creator_id: int
    creator: str
    """Login name; empty when there is no such user."""
    members: int
    version: int
    status: str
    """``active`` or ``dismissed``."""
    last_chated: int
    """0 of a group in which nobody has written."""
    created: int


@dataclass(frozen=True, slots=True)
class GroupDetails(GroupRow):
    """A group."""

    avatar: str
    messages: int
    """The id of the last message, which is how many were written unless some were lost or removed."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group. Name and nick are empty when there is no such user."""

    user_id: int
    name: str
    nick: str
    joined: int


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What a change has done, or with ``dry_run`` would do."""

    group: GroupDetails | None
    """The group afterwards; with ``dry_run`` as it is, None if it is to be created."""
    changed: Sequence[int]
    """The users who have come or left, ascending; the new creator."""
    notice: str
    """Whether clients that are online were told, or when they will notice."""


def row_of(record: GroupRecord) -> GroupRow:
    """Return a group as a list shows it."""
    return GroupRow(
        group_id=record.group_id,
        name=_text(record.name),
        kind=_KIND_OF.get(record.group_type, str(record.group_type)),
        creator_id=record.creator,
        creator=_text(record.creator_name),
        members=record.members,
        version=record.version,
        status="active" if record.is_active else "dismissed",
        last_chated=record.last_chated,
        created=record.created,
    )


def details_of(record: GroupRecord, last_msg_id: int) -> GroupDetails:
    """Return a group with everything."""
    return GroupDetails(**dataclasses.asdict(row_of(record)), avatar=_text(record.avatar), messages=last_msg_id)


def member_of(record: MemberRecord) -> Member:
    """Return a member as a list shows them."""
    return Member(record.user_id, _text(record.name), _text(record.nick), record.joined)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
