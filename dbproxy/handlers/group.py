"""Groups: lists, creation, members, muting."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from dbproxy.handlers.text import echo_text
from dbproxy.models.group import GroupInfo, GroupModel
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_writer import MAX_MEMBERS, GroupWriter
from dbproxy.wire import commands
from dbproxy.wire.pb import group_pb2, server_pb2
from dbproxy.work.handler_map import Handler, LazyAnswer

logger = logging.getLogger(__name__)


class GroupHandlers:
    """Commands 0x0401, 0x0403, 0x0405, 0x0407, 0x0409 and 0x0711."""

    def __init__(self, groups: GroupModel, writer: GroupWriter, members: GroupMembers) -> None:
        self._groups = groups
        self._writer = writer
        self._members = members

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.lookup(commands.NORMAL_GROUPS, self.normal_groups),
            Handler.lookup(commands.GROUP_INFO, self.group_infos),
            Handler.each(commands.CREATE_GROUP, self.create_group, refuse=_create_failed),
            Handler.each(commands.CHANGE_MEMBERS, self.change_members, refuse=_change_failed),
            Handler.each(commands.SHIELD_GROUP, self.shield_group, refuse=_shield_failed),
            Handler.lookup(commands.GET_GROUP_SHIELD, self.get_group_shield),
        ]

    def normal_groups(self, requests: Sequence[group_pb2.IMNormalGroupListReq]) -> list[group_pb2.IMNormalGroupListRsp]:
        """Return the normal groups of users with their versions."""
        lists = self._groups.normal_groups([request.user_id for request in requests])
        replies = []
        for request in requests:
            reply = group_pb2.IMNormalGroupListRsp(user_id=request.user_id)
            for group_id, version in lists[request.user_id]:
                entry = reply.group_version_list.add()
                entry.group_id = group_id
                entry.version = version
            replies.append(reply)
        return replies

    def group_infos(self, requests: Sequence[group_pb2.IMGroupInfoListReq]) -> list[LazyAnswer]:
        """Return the groups whose version is higher than the one in the request. Each group is serialised once for all requests."""
        changed, infos = self._groups.changed(
            [((entry.group_id, entry.version) for entry in request.group_version_list) for request in requests]
        )
        entries = {info.group_id: _group_entry(info) for info in infos}

        def reply_to(request: group_pb2.IMGroupInfoListReq, group_ids: Sequence[int]) -> list[bytes]:
            head = group_pb2.IMGroupInfoListRsp(user_id=request.user_id)
            parts = (entries[group_id] for group_id in group_ids if group_id in entries)
            return [head.SerializePartialToString(), *parts]

        return [partial(reply_to, request, group_ids) for request, group_ids in zip(requests, changed, strict=True)]

    def create_group(self, request: group_pb2.IMGroupCreateReq) -> group_pb2.IMGroupCreateRsp:
        """Make a group."""
        group_id = self._writer.create(
            request.user_id, request.group_name, request.group_avatar, request.group_type, request.member_id_list
        )
        reply = _create_failed(request)
        if group_id is not None:
            reply.result_code = 0
            reply.group_id = group_id
        return reply

    def change_members(self, request: group_pb2.IMGroupChangeMemberReq) -> group_pb2.IMGroupChangeMemberRsp | None:
        """Add or remove members; no reply for a group that does not exist."""
        if not self._exists(request.group_id, "change of members"):
            return None
        change = self._writer.change_members(request.user_id, request.group_id, request.change_type, request.member_id_list)
        reply = _change_failed(request)
        if change is not None:
            reply.result_code = 0
            reply.cur_user_id_list.extend(change.current)
            reply.chg_user_id_list.extend(change.changed)
        return reply

    def shield_group(self, request: group_pb2.IMGroupShieldReq) -> group_pb2.IMGroupShieldRsp | None:
        """Mute a group, or unmute it; no reply for a group that does not exist."""
        if not self._exists(request.group_id, "muting"):
            return None
        reply = _shield_failed(request)
        if self._groups.shield(request.user_id, request.group_id, request.shield_status):
            reply.result_code = 0
        return reply

    def _exists(self, group_id: int, what: str) -> bool:
        exists = bool(self._members.existing((group_id,)))
        if not exists:
            logger.warning("%s of group %d, which does not exist", what, group_id)
        return exists

    def get_group_shield(self, requests: Sequence[server_pb2.IMGroupGetShieldReq]) -> list[LazyAnswer | None]:
        """Return who has muted groups; no reply for a group that does not exist."""
        existing = self._members.existing(request.group_id for request in requests)
        known = [request for request in requests if request.group_id in existing]
        shields = iter(self._groups.shields([(request.group_id, request.user_id) for request in known]))

        def reply_to(request: server_pb2.IMGroupGetShieldReq, statuses: Sequence[int]) -> server_pb2.IMGroupGetShieldRsp:
            reply = server_pb2.IMGroupGetShieldRsp(group_id=request.group_id)
            for user_id, status in zip(request.user_id, statuses, strict=True):
                entry = reply.shield_status_list.add()
                entry.user_id = user_id
                entry.group_id = request.group_id
                entry.shield_status = status
            return reply

        answers: list[LazyAnswer | None] = []
        for request in requests:
            if request.group_id in existing:
                answers.append(partial(reply_to, request, next(shields)))
            else:
                logger.warning("lookup of who has muted group %d, which does not exist", request.group_id)
                answers.append(None)
        return answers


def _group_entry(group: GroupInfo) -> bytes:
    """A group as it stands in a serialised reply."""
    reply = group_pb2.IMGroupInfoListRsp()
    info = reply.group_info_list.add()
    info.group_id = group.group_id
    info.version = group.version
    echo_text(info, "group_name", group.name)
    echo_text(info, "group_avatar", group.avatar)
    info.group_creator_id = group.creator
    info.group_type = group.group_type  # type: ignore[assignment]
    info.shield_status = 0
    info.group_member_list.extend(group.members)
    return reply.SerializePartialToString()


def _create_failed(request: group_pb2.IMGroupCreateReq) -> group_pb2.IMGroupCreateRsp:
    reply = group_pb2.IMGroupCreateRsp(user_id=request.user_id, result_code=1)
    echo_text(reply, "group_name", request.group_name)
    if len(request.member_id_list) <= MAX_MEMBERS:
        reply.user_id_list.extend(sorted(set(request.member_id_list)))
    return reply


def _change_failed(request: group_pb2.IMGroupChangeMemberReq) -> group_pb2.IMGroupChangeMemberRsp:
    return group_pb2.IMGroupChangeMemberRsp(
        user_id=request.user_id, change_type=request.change_type, result_code=1, group_id=request.group_id
    )


def _shield_failed(request: group_pb2.IMGroupShieldReq) -> group_pb2.IMGroupShieldRsp:
    return group_pb2.IMGroupShieldRsp(user_id=request.user_id, group_id=request.group_id, result_code=1)
