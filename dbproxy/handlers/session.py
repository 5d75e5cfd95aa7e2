"""Recent sessions: listing and removing them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from dbproxy.errors import StoreError
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.message import MessageModel
from dbproxy.models.relation import pair_of
from dbproxy.models.session import SINGLE, Session, SessionModel
from dbproxy.models.summary import Summaries
from dbproxy.wire import commands
from dbproxy.wire.pb import buddy_pb2
from dbproxy.work.handler_map import Handler, LazyAnswer

logger = logging.getLogger(__name__)


class SessionHandlers:
    """Commands 0x0201 and 0x0206."""

    def __init__(self, sessions: SessionModel, messages: MessageModel, group_messages: GroupMessageModel, summaries: Summaries) -> None:
        self._sessions = sessions
        self._messages = messages
        self._group_messages = group_messages
        self._summaries = summaries

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.lookup(commands.RECENT_SESSIONS, self.recent_sessions),
            Handler.each(commands.REMOVE_SESSION, self.remove_session, refuse=_remove_failed),
        ]

    def recent_sessions(self, requests: Sequence[buddy_pb2.IMRecentContactSessionReq]) -> list[LazyAnswer]:
        """Return the recent sessions of users, each with the last message; a session without one is left out."""
        lists = self._sessions.recent([(request.user_id, request.latest_update_time) for request in requests])
        people = {pair_of(session.user_id, session.peer_id) for sessions in lists for session in sessions if session.session_type == SINGLE}
        groups = {session.peer_id for sessions in lists for session in sessions if session.session_type != SINGLE}
        summaries = self._summaries.get_many(people, groups)

        def reply_to(request: buddy_pb2.IMRecentContactSessionReq, sessions: Sequence[Session]) -> buddy_pb2.IMRecentContactSessionRsp:
            reply = buddy_pb2.IMRecentContactSessionRsp(user_id=request.user_id)
            for session in sessions:
                summary = summaries.get(session.user_id, session.peer_id, session.session_type)
                if summary is None:
                    continue
                info = reply.contact_session_list.add()
                info.session_id = session.peer_id
                info.session_type = session.session_type  # type: ignore[assignment]
                info.session_status = 0  # type: ignore[assignment]
                info.updated_time = session.updated
                info.latest_msg_id = summary.msg_id
                info.latest_msg_data = summary.content
                info.latest_msg_type = summary.msg_type  # type: ignore[assignment]
                info.latest_msg_from_user_id = summary.from_id
            return reply

        return [partial(reply_to, request, sessions) for request, sessions in zip(requests, lists, strict=True)]

    def remove_session(self, request: buddy_pb2.IMRemoveSessionReq) -> buddy_pb2.IMRemoveSessionRsp:
        """Make a session invisible and forget what is unread in it."""
        user_id, peer_id = request.user_id, request.session_id
        removed = self._sessions.remove(user_id, peer_id, request.session_type, int(time.time()))
        if removed:
            self._clear_unread(user_id, peer_id, request.session_type)
        return _remove_reply(request, 0 if removed else 1)

    def _clear_unread(self, user_id: int, peer_id: int, session_type: int) -> None:
        """The session is gone when its row says so; to report a failure because of a counter would be wrong."""
        clear = self._messages.clear_unread if session_type == SINGLE else self._group_messages.clear_unread
        try:
            clear([(user_id, peer_id)])
        except StoreError as error:
            logger.error("session of user %d with %d is removed, but its unread counter is not: %s", user_id, peer_id, error)


def _remove_reply(request: buddy_pb2.IMRemoveSessionReq, result_code: int) -> buddy_pb2.IMRemoveSessionRsp:
    return buddy_pb2.IMRemoveSessionRsp(
        user_id=request.user_id, result_code=result_code, session_type=request.session_type, session_id=request.session_id
    )


def _remove_failed(request: buddy_pb2.IMRemoveSessionReq) -> buddy_pb2.IMRemoveSessionRsp:
    return _remove_reply(request, 1)
