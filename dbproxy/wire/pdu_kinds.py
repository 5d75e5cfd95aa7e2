"""PduKind: every PDU of TeamTalk's protocol, of whatever server, by its command id: name, message, and which one answers it.

The proxy itself serves 26 of them (``commands.py``); tools that show what other servers say to each other need all.

``protos/`` declares the ids of a service and the messages that carry them in the same order, so the table needs no list of its own.
No I/O; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from dbproxy.wire.pb import (
    base_define_pb2,
    buddy_pb2,
    file_pb2,
    group_pb2,
    login_pb2,
    message_pb2,
    other_pb2,
    server_pb2,
    switch_service_pb2,
)

_REPLY_ENDS = ("Rsp", "Res", "Ack")
_REQUEST_END = "Req"

_SERVICES: tuple[tuple[int, str, tuple[Any, ...]], ...] = (
    (base_define_pb2.SID_LOGIN, "LoginCmdID", (login_pb2,)),
    (base_define_pb2.SID_BUDDY_LIST, "BuddyListCmdID", (buddy_pb2,)),
    (base_define_pb2.SID_MSG, "MessageCmdID", (message_pb2,)),
    (base_define_pb2.SID_GROUP, "GroupCmdID", (group_pb2,)),
    (base_define_pb2.SID_FILE, "FileCmdID", (file_pb2,)),
    (base_define_pb2.SID_SWITCH_SERVICE, "SwitchServiceCmdID", (switch_service_pb2,)),
    (base_define_pb2.SID_OTHER, "OtherCmdID", (other_pb2, server_pb2)),
)
"""Service id, the enum of its command ids, and the files of its messages, in the order of the ids."""


@dataclass(frozen=True, slots=True)
class PduKind:
    """One kind of PDU."""

    name: str
    """As in the enum of the protocol: ``CID_MSG_DATA``."""
    service_id: int
    command_id: int
    message: type[Message]
    reply_id: int = 0
    """The command id of its answer; 0: it is not answered. A message (``CID_MSG_DATA``) is acknowledged to a client with this one, while a
    proxy sends it back with its own id."""


def find_kind(command_id: int) -> PduKind | None:
    """Return the kind of PDU that has this id; None for an id that the protocol does not have."""
    return PDU_KINDS.get(command_id)


def _kinds() -> Iterator[PduKind]:
    for service_id, enum_name, files in _SERVICES:
        enum: EnumDescriptor = base_define_pb2.DESCRIPTOR.enum_types_by_name[enum_name]
        messages = [GetMessageClass(kind) for file in files for kind in file.DESCRIPTOR.message_types_by_name.values()]
        for index, (value, message) in enumerate(zip(enum.values, messages, strict=True)):
            following = messages[index + 1].__name__ if index + 1 < len(messages) else ""
            answered = following in {message.__name__.removesuffix(_REQUEST_END) + end for end in _REPLY_ENDS}
            yield PduKind(value.name, service_id, value.number, message, enum.values[index + 1].number if answered else 0)


PDU_KINDS: dict[int, PduKind] = {kind.command_id: kind for kind in _kinds()}
"""Every kind of PDU by its command id."""
