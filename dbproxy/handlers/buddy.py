"""People, departments and sign infos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dbproxy.handlers.shared_lists import SharedList, SharedLists
from dbproxy.handlers.text import echo_text
from dbproxy.models.depart import DepartModel
from dbproxy.models.user import User, UserModel
from dbproxy.wire import commands
from dbproxy.wire.pb import base_define_pb2, buddy_pb2
from dbproxy.work.handler_map import Handler, LazyAnswer


class BuddyHandlers:
    """Commands 0x0204, 0x0208, 0x0210 and 0x0213."""

    def __init__(self, users: UserModel, departs: DepartModel) -> None:
        self._users = users
        self._departs = departs

    def handlers(self) -> list[Handler[Any]]:
        """The handlers of this file."""
        return [
            Handler.lookup(commands.USER_INFO, self.user_infos),
            Handler.lookup(commands.ALL_USERS, self.all_users),
            Handler.lookup(commands.DEPARTMENTS, self.departments),
            Handler.each(commands.CHANGE_SIGN_INFO, self.change_sign_info, refuse=_sign_info_failed),
        ]

    def user_infos(self, requests: Sequence[buddy_pb2.IMUsersInfoReq]) -> list[LazyAnswer]:
        """Return users; those of all requests are looked up together."""
        users = self._users.get_many(user_id for request in requests for user_id in request.user_id_list)

        def reply_to(request: buddy_pb2.IMUsersInfoReq) -> buddy_pb2.IMUsersInfoRsp:
            reply = buddy_pb2.IMUsersInfoRsp(user_id=request.user_id)
            for user_id in sorted(users.keys() & request.user_id_list):  # of a long list only what exists is sorted
                fill_user_info(reply.user_info_list.add(), users[user_id])
            return reply

        return [partial(reply_to, request) for request in requests]

    def all_users(self, requests: Sequence[buddy_pb2.IMAllUserReq]) -> list[LazyAnswer]:
        """Return the users that changed since a time; equal times are looked up and serialised once."""
        return _list_replies(requests, buddy_pb2.IMAllUserRsp, self._changed_users)

    def departments(self, requests: Sequence[buddy_pb2.IMDepartmentReq]) -> list[LazyAnswer]:
        """Return the departments that changed since a time; equal times are looked up and serialised once."""
        return _list_replies(requests, buddy_pb2.IMDepartmentRsp, self._changed_departments)

    def _changed_users(self, since: int) -> SharedList:
        users, latest = self._users.changed_since(since)
        entries = buddy_pb2.IMAllUserRsp()
        for user in users:
            fill_user_info(entries.user_list.add(), user)
        return SharedList(latest, entries.SerializePartialToString())

    def _changed_departments(self, since: int) -> SharedList:
        departs, latest = self._departs.changed_since(since)
        entries = buddy_pb2.IMDepartmentRsp()
        for depart in departs:
            info = entries.dept_list.add()
            info.dept_id = depart.depart_id
            info.priority = depart.priority
            echo_text(info, "dept_name", depart.name)
            info.parent_dept_id = depart.parent_id
            info.dept_status = depart.status  # type: ignore[assignment]
        return SharedList(latest, entries.SerializePartialToString())

    def change_sign_info(self, request: buddy_pb2.IMChangeSignInfoReq) -> buddy_pb2.IMChangeSignInfoRsp:
        """Change a sign info."""
        if not self._users.change_sign_info(request.user_id, request.sign_info):
            return _sign_info_failed(request)
        reply = buddy_pb2.IMChangeSignInfoRsp(user_id=request.user_id, result_code=0)
        echo_text(reply, "sign_info", request.sign_info)
        return reply


def _list_replies(
    requests: Sequence[buddy_pb2.IMAllUserReq] | Sequence[buddy_pb2.IMDepartmentReq],
    reply_type: type[buddy_pb2.IMAllUserRsp] | type[buddy_pb2.IMDepartmentRsp],
    look_up: Callable[[int], SharedList],
) -> list[LazyAnswer]:
    """Answer requests for what changed since a time: the shared list after the fields that belong to one request."""
    lists = SharedLists(look_up)

    def reply_to(request: buddy_pb2.IMAllUserReq | buddy_pb2.IMDepartmentReq) -> list[bytes]:
        shared = lists.get(request.latest_update_time)
        head = reply_type(user_id=request.user_id, latest_update_time=shared.latest)
        return [head.SerializePartialToString(), shared.entries]

    return [partial(reply_to, request) for request in requests]


def fill_user_info(info: base_define_pb2.UserInfo, user: User) -> None:
    """Fill a UserInfo with a user. Where it belongs is better filled than copied to: a copy of a message costs as much as filling it."""
    user_id, sex, nick, avatar, depart_id, email, name, phone, domain, status, sign_info = user
    info.user_id = user_id
    info.user_gender = sex
    info.department_id = depart_id
    info.status = status
    try:
        info.user_nick_name = nick  # type: ignore[assignment]  # protobuf takes UTF-8 bytes for a string
        info.avatar_url = avatar  # type: ignore[assignment]
        info.email = email  # type: ignore[assignment]
        info.user_real_name = name  # type: ignore[assignment]
        info.user_tel = phone  # type: ignore[assignment]
        info.user_domain = domain  # type: ignore[assignment]
        info.sign_info = sign_info  # type: ignore[assignment]
    except ValueError:  # MariaDB takes surrogates for UTF-8 and protobuf does not; one user must not spoil a whole list
        for field, text in (
            ("user_nick_name", nick),
            ("avatar_url", avatar),
            ("email", email),
            ("user_real_name", name),
            ("user_tel", phone),
            ("user_domain", domain),
            ("sign_info", sign_info),
        ):
            echo_text(info, field, text)


def _sign_info_failed(request: buddy_pb2.IMChangeSignInfoReq) -> buddy_pb2.IMChangeSignInfoRsp:
    return buddy_pb2.IMChangeSignInfoRsp(user_id=request.user_id, result_code=1)
