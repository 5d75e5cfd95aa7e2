"""The workloads: what is asked, and what a right answer looks like."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from dbproxy.bench.dataset import PASSWORD, Data, user_name
from dbproxy.testing.client import BY_REQUEST, SENT_BY_PROXY
from dbproxy.testing.requests import SINGLE, message
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, group_pb2, message_pb2, server_pb2
from dbproxy.wire.pdu import HEADER, HEADER_LENGTH, pack_pdu

FRAMES = 4000
"""Different requests of one workload; they are sent in turn."""

LIST_LENGTH = 20


@dataclass(frozen=True)
class Situation:
    """What one request is about: a user, somebody they know, a group and one of its members."""

    user_id: int
    user_name: str
    peer_id: int
    any_user_id: int
    group_id: int
    member_id: int


Make = Callable[[Situation], Message]


def _single(at: Situation) -> Message:
    return message(at.user_id, at.peer_id, "x" * 64)


def _group(at: Situation) -> Message:
    return message(at.member_id, at.group_id, "y" * 64, msg_type=base.MSG_TYPE_GROUP_TEXT)


def _token(at: Situation) -> Message:
    return server_pb2.IMGetDeviceTokenReq(user_id=(at.user_id, at.peer_id))


def _unread(at: Situation) -> Message:
    return message_pb2.IMUnreadMsgCntReq(user_id=at.user_id)


def _recent(at: Situation) -> Message:
    return buddy_pb2.IMRecentContactSessionReq(user_id=at.user_id, latest_update_time=0)


def _list(at: Situation) -> Message:
    return message_pb2.IMGetMsgListReq(user_id=at.user_id, session_type=SINGLE, session_id=at.peer_id, msg_id_begin=0, msg_cnt=LIST_LENGTH)


def _users(at: Situation) -> Message:
    return buddy_pb2.IMUsersInfoReq(user_id=at.user_id, user_id_list=(at.peer_id, at.user_id, at.any_user_id))


def _login(at: Situation) -> Message:
    return server_pb2.IMValidateReq(user_name=at.user_name, password=hashlib.md5(PASSWORD.encode()).hexdigest())


def _groupinfo(at: Situation) -> Message:
    request = group_pb2.IMGroupInfoListReq(user_id=at.member_id)
    request.group_version_list.add(group_id=at.group_id, version=0)
    return request


REQUESTS: Mapping[str, Make] = {
    "token": _token,
    "unread": _unread,
    "recent": _recent,
    "list": _list,
    "users": _users,
    "login": _login,
    "groupinfo": _groupinfo,
    "single": _single,
    "group": _group,
}


@dataclass(frozen=True)
class Workload:
    """A kind of load: which requests, in which shares. ``writes``: it leaves the data changed."""

    name: str
    what: str
    shares: Mapping[str, int]

    @property
    def writes(self) -> bool:
        """Whether messages are among the requests."""
        return "single" in self.shares or "group" in self.shares

    def frames(self, data: Data, count: int = FRAMES, seed: int = 11) -> list[bytes]:
        """The PDUs to be sent, ready but for their seq_num; the same ones for the same data and seed."""
        rng = random.Random(seed)
        kinds, weights = list(self.shares), list(self.shares.values())
        numbers = {user_id: number for number, user_id in enumerate(data.users, 1)}
        groups = list(data.groups)
        frames = []
        for _ in range(count):
            one, other = rng.sample(rng.choice(data.pairs), 2)
            group_id = rng.choice(groups)
            situation = Situation(one, user_name(numbers[one]), other, rng.choice(data.users), group_id, rng.choice(data.groups[group_id]))
            frames.append(frame(REQUESTS[rng.choices(kinds, weights)[0]](situation)))
        return frames


def frame(request: Message) -> bytes:
    """One request as a PDU with the seq_num 0."""
    command = BY_REQUEST[type(request)]
    return pack_pdu(command.service_id, command.command_id, 0, request.SerializeToString())


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("token", "push tokens of two users, every second of whom has a phone, with their unread counts", {"token": 1}),
        Workload("unread", "all that a user has not read, of people and groups, each with the last message", {"unread": 1}),
        Workload("recent", "whom a user talks to, people and groups, each with the last message", {"recent": 1}),
        Workload("list", f"the newest {LIST_LENGTH} messages of a conversation", {"list": 1}),
        Workload("users", "the data of three users", {"users": 1}),
        Workload("login", "name and password are checked", {"login": 1}),
        Workload("groupinfo", "a group with its members", {"groupinfo": 1}),
        Workload("single", "a message to a person is stored", {"single": 1}),
        Workload("group", "a message to a group is stored", {"group": 1}),
        Workload(
            "mix_without_groups",
            "messages, tokens, lists, counters, sessions, users and logins, but nothing is written to groups",
            {"single": 30, "token": 30, "list": 12, "unread": 12, "recent": 6, "users": 5, "login": 5},
        ),
        Workload(
            "mix",
            "what a busy system asks: messages to people and groups, after each the receiver's token, and all the others",
            {"single": 25, "group": 10, "token": 30, "list": 10, "unread": 10, "recent": 5, "users": 5, "login": 5},
        ),
    )
}
"""By name. Those that only read come first: they leave the data as it is for the next one."""


def wrong_replies(samples: Iterable[str]) -> list[str]:
    """Of replies (base64 of PDUs), those that are not what a working system answers, as sentences. A load of refusals is no load."""
    wrong = []
    for sample in samples:
        pdu = base64.b64decode(sample)
        _, _, _, service_id, command_id, _, _ = HEADER.unpack_from(pdu)
        reply: Any = SENT_BY_PROXY[service_id, command_id].FromString(pdu[HEADER_LENGTH:])
        if not _is_right(reply):
            wrong.append(f"{type(reply).__name__} {str(reply)[:200]!r}")
    return wrong


def _is_right(reply: Any) -> bool:  # noqa: ANN401 - which message it is, is the question
    if isinstance(reply, message_pb2.IMMsgData):
        return reply.msg_id > 0
    if isinstance(reply, server_pb2.IMValidateRsp):
        return reply.result_code == 0
    for name in ("msg_list", "contact_session_list", "user_info_list", "group_info_list"):
        if hasattr(reply, name):
            return len(getattr(reply, name)) > 0
    return True  # nobody has a phone, or nothing unread: that happens
