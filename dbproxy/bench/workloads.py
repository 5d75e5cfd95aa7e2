"""The workloads of the benchmark: which requests are sent in which proportion, and what a correct reply looks like."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dbproxy.bench.dataset import Data, user_name
from dbproxy.bench.requests import LIST_LENGTH, REQUESTS, WRITE_MESSAGES, Subject, frame
from dbproxy.testing.client import SENT_BY_PROXY
from dbproxy.wire.pb import message_pb2, server_pb2
from dbproxy.wire.pdu import HEADER, HEADER_LENGTH

FRAMES = 4000
"""Different requests of one workload; they are sent in turn."""


@dataclass(frozen=True)
class Workload:
    """A kind of load. ``weights``: name of a request in ``REQUESTS`` → how often it is sent, relative to the others."""

    name: str
    what: str
    weights: Mapping[str, int]

    @property
    def writes(self) -> bool:
        """Whether messages are stored, so that the data is another one afterwards."""
        return not WRITE_MESSAGES.isdisjoint(self.weights)

    def frames(self, data: Data, count: int = FRAMES, seed: int = 11) -> list[bytes]:
        """Return the PDUs to send, complete except for their seq_num; the same ones for the same data and seed."""
        rng = random.Random(seed)
        names, weights = list(self.weights), list(self.weights.values())
        numbers = {user_id: number for number, user_id in enumerate(data.users, 1)}
        groups = list(data.groups)
        frames = []
        for _ in range(count):
            pair = rng.choice(data.pairs)
            one, other = rng.sample(pair, 2)
            group_id = rng.choice(groups)
            any_user_id, member_id = rng.choice(data.users), rng.choice(data.groups[group_id])
            subject = Subject(one, user_name(numbers[one]), other, data.relations[pair], group_id, member_id, any_user_id)
            frames.append(frame(REQUESTS[rng.choices(names, weights)[0]](subject)))
        return frames


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("token", "push tokens of two users, every second of whom has a phone, with their unread counts", {"token": 1}),
        Workload("unread", "everything that a user has not read, from users and groups, each with the last message", {"unread": 1}),
        Workload("recent", "the recent sessions of a user with users and groups, each with the last message", {"recent": 1}),
        Workload("list", f"the newest {LIST_LENGTH} messages of a conversation", {"list, newest": 1}),
        Workload("users", "the data of three users", {"user info": 1}),
        Workload("login", "name and password are checked", {"login": 1}),
        Workload("groupinfo", "a group with its members", {"group info": 1}),
        Workload("single", "a message to a user is stored", {"send": 1}),
        Workload("group", "a message to a group is stored", {"group send": 1}),
        Workload(
            "mix_without_groups",
            "messages, tokens, lists, counters, sessions, users and logins, but no messages to groups",
            {"send": 30, "token": 30, "list, newest": 12, "unread": 12, "recent": 6, "user info": 5, "login": 5},
        ),
        Workload(
            "mix",
            "what a busy system sends: messages to users and groups, after each the receiver's token, and all the others",
            {"send": 25, "group send": 10, "token": 30, "list, newest": 10, "unread": 10, "recent": 5, "user info": 5, "login": 5},
        ),
    )
}
"""By name. Those that only read come first: the next one can use the same data."""


def wrong_replies(samples: Iterable[str]) -> list[str]:
    """Return a description of each sample (the base64 of a reply's PDU) that is a refusal or empty: such a load measures nothing."""
    wrong = []
    for sample in samples:
        pdu = base64.b64decode(sample)
        _, _, _, service_id, command_id, _, _ = HEADER.unpack_from(pdu)
        reply: Any = SENT_BY_PROXY[service_id, command_id].FromString(pdu[HEADER_LENGTH:])
        if not _is_correct(reply):
            wrong.append(f"{type(reply).__name__} {str(reply)[:200]!r}")
    return wrong


def _is_correct(reply: Any) -> bool:  # noqa: ANN401 - any message
    if isinstance(reply, message_pb2.IMMsgData):
        return reply.msg_id > 0
    if isinstance(reply, server_pb2.IMValidateRsp):
        return reply.result_code == 0
    for name in ("msg_list", "contact_session_list", "user_info_list", "group_info_list"):
        if hasattr(reply, name):
            return len(getattr(reply, name)) > 0
    return True  # a user without a phone or without unread messages is normal
