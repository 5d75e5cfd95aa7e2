from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class IMP2PCmdMsg(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "cmd_msg_data")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    CMD_MSG_DATA_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    cmd_msg_data: str
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., cmd_msg_data: _Optional[str] = ...) -> None: ...
