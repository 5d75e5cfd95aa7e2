"""Messages: sending, history, unread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

from dbproxy.errors import FileServerError
from dbproxy.handlers.message_queues import AUDIO, MessageQueues
from dbproxy.models.audio import AudioModel
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.history import GROUP_TYPES, MAX_LIST, SINGLE_SOUND, SOUNDS, StoredMessage
from dbproxy.models.message import MessageModel
from dbproxy.models.new_message import NewMessage
from dbproxy.models.relation import RelationModel, pair_of
from dbproxy.models.session import GROUP, SINGLE
from dbproxy.models.summary import Summaries
from dbproxy.models.unread import UnreadModel
from dbproxy.wire import commands
from dbproxy.wire.pb import message_pb2
from dbproxy.work.handler_map import Answer, FollowUp, Handler, LazyAnswer, Reply

logger = logging.getLogger(__name__)

MAX_KEPT_BYTES = 4 * 1024
"""Bytes of messages that a request keeps while it waits for the file server."""

MESSAGES_PER_PART = 100
"""Messages of a long list that are serialised together."""

_TEXT_ORDER = itemgetter(0)

UINT32_MAX = 2**32 - 1
"""The largest total that a reply can name; somebody may have written nonsense into the counters."""

HistoryRequest = TypeVar("HistoryRequest", message_pb2.IMGetMsgListReq, message_pb2.IMGetMsgByIdReq)

ListReply = message_pb2.IMGetMsgListRsp | message_pb2.IMGetMsgByIdRsp


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
        self._queues = MessageQueues(relations, messages.others_write, group_messages.others_write)
        self._audio = audio
        self._unread = unread
        self._summaries = summaries

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.batch(
                commands.MSG_DATA,
                self.send,
                refuse=_not_stored,
                routing=self._queues.route,
                queues=self._queues.settings,
                copies_attach_data=False,
            ),
            Handler.batch(commands.MSG_READ_ACK, self.read_ack, copies_attach_data=False),
            Handler.lookup(commands.UNREAD_COUNT, self.unread),
            Handler.lookup(commands.MSG_LIST, self.history, rows=_rows_of_list, long_replies=True),
            Handler.lookup(commands.LATEST_MSG_ID, self.latest_msg_id),
            Handler.lookup(commands.MSG_BY_ID, self.by_id, long_replies=True),
        ]

    # sending

    def send(self, requests: Sequence[message_pb2.IMMsgData]) -> list[Answer]:
        """Store messages; each reply is the request with its msg_id, 0 when it was not stored. No reply to an empty message, nor to a
        message to a group by somebody who is not in it.
        """
        messages: list[NewMessage | None] = [
            NewMessage(request.from_user_id, request.to_session_id, request.msg_type, request.create_time, request.msg_data)
            if request.msg_data
            else None
            for request in requests
        ]
        self._reject_non_members(messages)
        storable = [new for new in messages if new is not None and self._upload(new)]
        self._messages.store([new for new in storable if new.msg_type not in GROUP_TYPES])
        self._group_messages.store([new for new in storable if new.msg_type in GROUP_TYPES])
        return [None if new is None else _with_msg_id(request, new.msg_id) for request, new in zip(requests, messages, strict=True)]

    def _reject_non_members(self, messages: list[NewMessage | None]) -> None:
        """Replace group messages of senders who are not members of the group by None."""
        to_groups = [(index, new) for index, new in enumerate(messages) if new is not None and new.msg_type in GROUP_TYPES]
        joined = self._members.join_times([(new.to_id, new.from_id) for _, new in to_groups])
        for (index, new), since in zip(to_groups, joined, strict=True):
            if since is None:
                logger.warning("message to group %d by user %d, who is not in it: dropped", new.to_id, new.from_id)
                messages[index] = None

    def _upload(self, message: NewMessage) -> bool:
        """Upload a sound to the file server; False when it cannot be stored."""
        if message.msg_type not in SOUNDS:
            return True
        if message.msg_type == SINGLE_SOUND and (message.from_id == message.to_id or not message.from_id or not message.to_id):
            return False
        try:
            message.sound = self._audio.upload(message.content)
        except FileServerError as error:
            logger.error("sound refused [from=%d to=%d]: %s", message.from_id, message.to_id, error)
            return False
        return True

    # reading

    def history(self, requests: Sequence[message_pb2.IMGetMsgListReq]) -> list[LazyAnswer]:
        """Return the history of conversations."""
        return self._list_answers(requests, self._read_history, _history_reply)

    def by_id(self, requests: Sequence[message_pb2.IMGetMsgByIdReq]) -> list[LazyAnswer]:
        """Return single messages."""
        return self._list_answers(requests, self._read_by_id, _by_id_reply)

    def _read_history(self, requests: Sequence[message_pb2.IMGetMsgListReq]) -> list[list[StoredMessage]]:
        return self._by_kind(
            requests,
            lambda of_people: self._messages.history([(r.user_id, r.session_id, r.msg_id_begin, r.msg_cnt) for r in of_people]),
            lambda of_groups: self._group_messages.history([(r.user_id, r.session_id, r.msg_id_begin, r.msg_cnt) for r in of_groups]),
        )

    def _read_by_id(self, requests: Sequence[message_pb2.IMGetMsgByIdReq]) -> list[list[StoredMessage]]:
        return self._by_kind(
            requests,
            lambda of_people: self._messages.by_id([(r.user_id, r.session_id, r.msg_id_list) for r in of_people]),
            lambda of_groups: self._group_messages.by_id([(r.user_id, r.session_id, r.msg_id_list) for r in of_groups]),
        )

    def latest_msg_id(self, requests: Sequence[message_pb2.IMGetLatestMsgIdReq]) -> list[message_pb2.IMGetLatestMsgIdRsp]:
        """Return the msg_id of the last message of conversations, 0 when there is none."""
        found = self._summaries.get_many(
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

    def _list_answers(
        self,
        requests: Sequence[HistoryRequest],
        read: Callable[[Sequence[HistoryRequest]], list[list[StoredMessage]]],
        reply_to: Callable[[HistoryRequest], ListReply],
    ) -> list[LazyAnswer]:
        """What makes the replies with lists that ``read`` looks up."""

        def answer(request: HistoryRequest, stored: list[StoredMessage]) -> Answer:
            if not _audio_ids(stored):
                return _list_reply(reply_to(request), stored, {})
            # Sounds have to be fetched first, which may take long; a list that is too long to be kept meanwhile is looked up again then.
            kept = stored if sum(len(message.content) for message in stored) <= MAX_KEPT_BYTES else None
            return FollowUp(AUDIO, partial(follow_up, request, kept, with_sounds=True), partial(follow_up, request, kept))

        def follow_up(request: HistoryRequest, kept: list[StoredMessage] | None, *, with_sounds: bool = False) -> Reply:
            stored = read([request])[0] if kept is None else kept
            return _list_reply(reply_to(request), stored, self._audio.fetch(_audio_ids(stored)) if with_sounds else {})

        return [partial(answer, request, stored) for request, stored in zip(requests, read(requests), strict=True)]

    # unread

    def unread(self, requests: Sequence[message_pb2.IMUnreadMsgCntReq]) -> list[LazyAnswer]:
        """Return what users have not read: people in text order of their ids, then groups; each with the last message."""
        unread = self._unread.for_users(request.user_id for request in requests)
        summaries = self._summaries.get_many(
            (pair_of(user_id, peer_id) for user_id, of_user in unread.items() for peer_id in of_user.senders),
            {group_id for of_user in unread.values() for group_id in of_user.groups},
        )

        def reply_to(request: message_pb2.IMUnreadMsgCntReq) -> message_pb2.IMUnreadMsgCntRsp:
            user_id = request.user_id
            of_user = unread[user_id]
            entries = [
                (str(peer_id), SINGLE, peer_id, count, summary)
                for peer_id, count in of_user.senders.items()
                if (summary := summaries.get(user_id, peer_id, SINGLE)) is not None
            ]
            entries.sort(key=_TEXT_ORDER)
            entries += [
                ("", GROUP, group_id, count, summary)
                for group_id, count in of_user.groups.items()
                if (summary := summaries.get(user_id, group_id, GROUP)) is not None
            ]
            reply = message_pb2.IMUnreadMsgCntRsp(user_id=user_id)
            for _, session_type, session_id, count, summary in entries:
                info = reply.unreadinfo_list.add()
                info.session_id = session_id
                info.session_type = session_type  # type: ignore[assignment]
                info.unread_cnt = count
                info.latest_msg_id = summary.msg_id
                info.latest_msg_data = summary.content
                info.latest_msg_type = summary.msg_type  # type: ignore[assignment]
                info.latest_msg_from_user_id = summary.from_id
            reply.total_cnt = min(sum(entry[3] for entry in entries), UINT32_MAX)
            return reply

        return [partial(reply_to, request) for request in requests]

    def read_ack(self, requests: Sequence[message_pb2.IMMsgDataReadAck]) -> list[None]:
        """Forget what is unread in conversations; not answered."""
        self._messages.clear_unread([(r.user_id, r.session_id) for r in requests if r.session_type == SINGLE])
        in_groups = [(request.user_id, request.session_id) for request in requests if request.session_type == GROUP]
        self._group_messages.clear_unread(in_groups)
        return [None] * len(requests)


def _rows_of_list(request: message_pb2.IMGetMsgListReq) -> int:
    return min(request.msg_cnt, MAX_LIST)


def _with_msg_id(request: message_pb2.IMMsgData, msg_id: int) -> message_pb2.IMMsgData:
    """The reply to a message is the request itself."""
    request.msg_id = msg_id
    return request


def _not_stored(request: message_pb2.IMMsgData) -> message_pb2.IMMsgData:
    return _with_msg_id(request, 0)


def _history_reply(request: message_pb2.IMGetMsgListReq) -> ListReply:
    return message_pb2.IMGetMsgListRsp(
        user_id=request.user_id, session_type=request.session_type, session_id=request.session_id, msg_id_begin=request.msg_id_begin
    )


def _by_id_reply(request: message_pb2.IMGetMsgByIdReq) -> ListReply:
    return message_pb2.IMGetMsgByIdRsp(user_id=request.user_id, session_type=request.session_type, session_id=request.session_id)


def _audio_ids(stored: Sequence[StoredMessage]) -> list[int]:
    return [int(message.content) for message in stored if message.msg_type in SOUNDS and message.content.isdigit()]


def _list_reply(reply: ListReply, stored: list[StoredMessage], sounds: dict[int, bytes]) -> Reply:
    """Complete a reply with its list. ``stored`` is used up: of a long list every message is in memory once."""
    if len(stored) <= MESSAGES_PER_PART and not sounds:
        _fill(reply, stored, sounds)
        return reply
    parts = [reply.SerializePartialToString()]
    stored.reverse()
    while stored:
        part = type(reply)()
        portion = stored[: -MESSAGES_PER_PART - 1 : -1]
        del stored[-MESSAGES_PER_PART:]
        _fill(part, portion, sounds)
        parts.append(part.SerializePartialToString())
    return parts


def _fill(reply: ListReply, stored: Sequence[StoredMessage], sounds: dict[int, bytes]) -> None:
    add = reply.msg_list.add
    for msg_id, from_id, created, msg_type, content in stored:
        info = add()
        info.msg_id = msg_id
        info.from_session_id = from_id
        info.create_time = created
        info.msg_type = msg_type  # type: ignore[assignment]
        info.msg_data = sounds.get(int(content), content) if sounds and msg_type in SOUNDS and content.isdigit() else content
