"""Messages: sending, history, unread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from dbproxy.errors import FileServerError
from dbproxy.models.audio import AudioModel
from dbproxy.models.draft import Draft
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.history import GROUP_SOUND, GROUP_TEXT, SINGLE_SOUND, SOUNDS, StoredMessage
from dbproxy.models.message import MessageModel
from dbproxy.models.relation import RelationModel, pair_of
from dbproxy.models.session import GROUP, SINGLE
from dbproxy.models.summary import Summaries
from dbproxy.models.unread import UnreadModel
from dbproxy.wire import commands
from dbproxy.wire.pb import message_pb2
from dbproxy.work.handler_map import Answer, FollowUp, Handler, Place

logger = logging.getLogger(__name__)

AUDIO_LANE = "audio"
"""Lane of everything that waits for the file server."""

MESSAGE_LANES = ("messages 0", "messages 1")
GROUP_MESSAGE_LANES = ("group messages 0", "group messages 1")
"""Lanes of the messages to be stored, a transaction at a time each. Two of a kind, one for the even tables and one for the odd, so that two
transactions never insert into the same table: their row ids would be mixed, and nothing would be known of the largest msg_ids."""

UINT32_MAX = 2**32 - 1
"""The largest total that a reply can name; somebody may have written nonsense into the counters."""

HistoryRequest = TypeVar("HistoryRequest", message_pb2.IMGetMsgListReq, message_pb2.IMGetMsgByIdReq)

_GROUP_TYPES = (GROUP_TEXT, GROUP_SOUND)


class MessageHandlers:
    """Commands 0x0301, 0x0303, 0x0307, 0x0309, 0x030b and 0x030d."""

    def __init__(
        self,
        messages: MessageModel,
        group_messages: GroupMessageModel,
        members: GroupMembers,
        relations: RelationModel,
        audio: AudioModel,
        unread: UnreadModel,
        summaries: Summaries,
    ) -> None:
        self._messages = messages
        self._group_messages = group_messages
        self._members = members
        self._relations = relations
        self._audio = audio
        self._unread = unread
        self._summaries = summaries

    def handlers(self) -> list[Handler]:
        """The handlers of this file."""
        return [
            Handler(commands.MSG_DATA, self.send, refuse=_not_stored, place=self.place, copies_attach_data=False),
            Handler(commands.MSG_READ_ACK, self.read_ack, copies_attach_data=False),
            Handler(commands.UNREAD_COUNT, self.unread, only_reads=True),
            Handler(commands.MSG_LIST, self.history, only_reads=True, long_answers=True),
            Handler(commands.LATEST_MSG_ID, self.latest_msg_id, only_reads=True),
            Handler(commands.MSG_BY_ID, self.by_id, only_reads=True, long_answers=True),
        ]

    # sending

    def place(self, request: message_pb2.IMMsgData) -> Place:
        """Where a message waits: the messages of a conversation keep their order, and those with sounds do not hold up others. Reactor
        thread.
        """
        key: tuple[int, ...]
        if request.msg_type in _GROUP_TYPES:
            lanes, key = GROUP_MESSAGE_LANES, (request.to_session_id,)
            conversation_id: int | None = request.to_session_id
        else:
            lanes, key = MESSAGE_LANES, pair_of(request.from_user_id, request.to_session_id)
            conversation_id = self._relations.known(key)
        if request.msg_type in SOUNDS:
            return Place(AUDIO_LANE, key)
        return Place(lanes[(conversation_id or 0) % len(lanes)], key)

    def send(self, requests: Sequence[message_pb2.IMMsgData]) -> list[Answer]:
        """Store messages; each reply is the request with its msg_id, 0 when it was not stored. No reply to an empty message, nor to a
        message to a group by somebody who is not in it.
        """
        drafts: list[Draft | None] = [
            Draft(request.from_user_id, request.to_session_id, request.msg_type, request.create_time, request.msg_data)
            if request.msg_data
            else None
            for request in requests
        ]
        self._keep_strangers_out(drafts)
        storable = [draft for draft in drafts if draft is not None and self._upload(draft)]
        self._messages.store([draft for draft in storable if draft.msg_type not in _GROUP_TYPES])
        self._group_messages.store([draft for draft in storable if draft.msg_type in _GROUP_TYPES])
        return [None if draft is None else _with_msg_id(request, draft.msg_id) for request, draft in zip(requests, drafts, strict=True)]

    def _keep_strangers_out(self, drafts: list[Draft | None]) -> None:
        """Replace group messages of senders who are not in the group by None."""
        to_groups = [(index, draft) for index, draft in enumerate(drafts) if draft is not None and draft.msg_type in _GROUP_TYPES]
        joined = self._members.join_times([(draft.to_id, draft.from_id) for _, draft in to_groups])
        for (index, draft), since in zip(to_groups, joined, strict=True):
            if since is None:
                logger.warning("message to group %d by user %d, who is not in it: dropped", draft.to_id, draft.from_id)
                drafts[index] = None

    def _upload(self, draft: Draft) -> bool:
        """Bring a sound to the file server; False when it cannot be stored."""
        if draft.msg_type not in SOUNDS:
            return True
        if draft.msg_type == SINGLE_SOUND and (draft.from_id == draft.to_id or not draft.from_id or not draft.to_id):
            return False
        try:
            draft.sound = self._audio.upload(draft.content)
        except FileServerError as error:
            logger.error("sound refused [from=%d to=%d]: %s", draft.from_id, draft.to_id, error)
            return False
        return True

    # reading

    def history(self, requests: Sequence[message_pb2.IMGetMsgListReq]) -> list[Answer]:
        """Tell the history of conversations."""
        found = self._by_kind(
            requests,
            lambda of_people: self._messages.history([(r.user_id, r.session_id, r.msg_id_begin, r.msg_cnt) for r in of_people]),
            lambda of_groups: self._group_messages.history([(r.user_id, r.session_id, r.msg_id_begin, r.msg_cnt) for r in of_groups]),
        )
        return [
            self._with_sounds(
                message_pb2.IMGetMsgListRsp(
                    user_id=request.user_id,
                    session_type=request.session_type,
                    session_id=request.session_id,
                    msg_id_begin=request.msg_id_begin,
                ),
                stored,
            )
            for request, stored in zip(requests, found, strict=True)
        ]

    def by_id(self, requests: Sequence[message_pb2.IMGetMsgByIdReq]) -> list[Answer]:
        """Tell single messages."""
        found = self._by_kind(
            requests,
            lambda of_people: self._messages.by_id([(r.user_id, r.session_id, r.msg_id_list) for r in of_people]),
            lambda of_groups: self._group_messages.by_id([(r.user_id, r.session_id, r.msg_id_list) for r in of_groups]),
        )
        return [
            self._with_sounds(
                message_pb2.IMGetMsgByIdRsp(user_id=request.user_id, session_type=request.session_type, session_id=request.session_id),
                stored,
            )
            for request, stored in zip(requests, found, strict=True)
        ]

    def latest_msg_id(self, requests: Sequence[message_pb2.IMGetLatestMsgIdReq]) -> list[message_pb2.IMGetLatestMsgIdRsp]:
        """Tell the msg_id of the last message of conversations, 0 when there is none."""
        found = self._summaries.of(
            {pair_of(request.user_id, request.session_id) for request in requests if request.session_type == SINGLE},
            {request.session_id for request in requests if request.session_type == GROUP},
        )
        replies = []
        for request in requests:
            last = found.get(request.user_id, request.session_id, request.session_type)
            replies.append(
                message_pb2.IMGetLatestMsgIdRsp(
                    user_id=request.user_id,
                    session_type=request.session_type,
                    session_id=request.session_id,
                    latest_msg_id=0 if last is None else last.msg_id,
                )
            )
        return replies

    @staticmethod
    def _by_kind(
        requests: Sequence[HistoryRequest],
        read_people: Callable[[Sequence[HistoryRequest]], list[list[StoredMessage]]],
        read_groups: Callable[[Sequence[HistoryRequest]], list[list[StoredMessage]]],
    ) -> list[list[StoredMessage]]:
        """Ask for conversations of people and of groups, each kind at once, and put the answers back into the order of the requests."""
        of_people = [request for request in requests if request.session_type == SINGLE]
        of_groups = [request for request in requests if request.session_type == GROUP]
        people = iter(read_people(of_people) if of_people else ())
        groups = iter(read_groups(of_groups) if of_groups else ())
        return [next(people if request.session_type == SINGLE else groups) for request in requests]

    def _with_sounds(self, reply: Message, stored: Sequence[StoredMessage]) -> Answer:
        """Fill the list of a reply; when there are sounds in it they have to be fetched first, which may take long."""
        audio_ids = [int(message.content) for message in stored if message.msg_type in SOUNDS and message.content.isdigit()]
        if not audio_ids:
            return _fill(reply, stored, {})
        return FollowUp(AUDIO_LANE, lambda: _fill(reply, stored, self._audio.fetch(audio_ids)), lambda: _fill(reply, stored, {}))

    # unread

    def unread(self, requests: Sequence[message_pb2.IMUnreadMsgCntReq]) -> list[message_pb2.IMUnreadMsgCntRsp]:
        """Tell what users have not read: people in text order of their ids, then groups; each with the last message."""
        unread = self._unread.of(request.user_id for request in requests)
        summaries = self._summaries.of(
            {pair_of(user_id, peer_id) for user_id, of_user in unread.items() for peer_id in of_user.people},
            {group_id for of_user in unread.values() for group_id in of_user.groups},
        )
        replies = []
        for request in requests:
            user_id = request.user_id
            of_user = unread[user_id]
            entries = [(SINGLE, peer_id, of_user.people[peer_id]) for peer_id in sorted(of_user.people, key=str)]
            entries += [(GROUP, group_id, count) for group_id, count in of_user.groups.items()]
            reply = message_pb2.IMUnreadMsgCntRsp(user_id=user_id)
            total = 0
            for session_type, session_id, count in entries:
                summary = summaries.get(user_id, session_id, session_type)
                if summary is None:
                    continue
                total += count
                info = reply.unreadinfo_list.add()
                info.session_id = session_id
                info.session_type = session_type  # type: ignore[assignment]
                info.unread_cnt = count
                info.latest_msg_id = summary.msg_id
                info.latest_msg_data = summary.content
                info.latest_msg_type = summary.msg_type  # type: ignore[assignment]
                info.latest_msg_from_user_id = summary.from_id
            reply.total_cnt = min(total, UINT32_MAX)
            replies.append(reply)
        return replies

    def read_ack(self, requests: Sequence[message_pb2.IMMsgDataReadAck]) -> list[None]:
        """Forget what is unread in conversations; not answered."""
        self._messages.clear_unread([(r.user_id, r.session_id) for r in requests if r.session_type == SINGLE])
        in_groups = [(request.user_id, request.session_id) for request in requests if request.session_type == GROUP]
        self._group_messages.clear_unread(in_groups)
        return [None] * len(requests)


def _with_msg_id(request: message_pb2.IMMsgData, msg_id: int) -> message_pb2.IMMsgData:
    """The reply to a message is the request itself."""
    request.msg_id = msg_id
    return request


def _not_stored(request: message_pb2.IMMsgData) -> message_pb2.IMMsgData:
    return _with_msg_id(request, 0)


def _fill(reply: Message, stored: Sequence[StoredMessage], sounds: dict[int, bytes]) -> Message:
    add = reply.msg_list.add  # type: ignore[attr-defined]
    for msg_id, from_id, created, msg_type, content in stored:
        info = add()
        info.msg_id = msg_id
        info.from_session_id = from_id
        info.create_time = created
        info.msg_type = msg_type
        info.msg_data = sounds.get(int(content), content) if sounds and msg_type in SOUNDS and content.isdigit() else content
    return reply
