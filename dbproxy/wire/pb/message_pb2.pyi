from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMMsgData(_message.Message):
    __slots__ = ("from_user_id", "to_session_id", "msg_id", "create_time", "msg_type", "msg_data", "attach_data")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MSG_TYPE_FIELD_NUMBER: _ClassVar[int]
    MSG_DATA_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_session_id: int
    msg_id: int
    create_time: int
    msg_type: _base_define_pb2.MsgType
    msg_data: bytes
    attach_data: bytes
    def __init__(self, from_user_id: _Optional[int] = ..., to_session_id: _Optional[int] = ..., msg_id: _Optional[int] = ..., create_time: _Optional[int] = ..., msg_type: _Optional[_Union[_base_define_pb2.MsgType, str]] = ..., msg_data: _Optional[bytes] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMMsgDataAck(_message.Message):
    __slots__ = ("user_id", "session_id", "msg_id", "session_type")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_id: int
    msg_id: int
    session_type: _base_define_pb2.SessionType
    def __init__(self, user_id: _Optional[int] = ..., session_id: _Optional[int] = ..., msg_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ...) -> None: ...

class IMMsgDataReadAck(_message.Message):
    __slots__ = ("user_id", "session_id", "msg_id", "session_type")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_id: int
    msg_id: int
    session_type: _base_define_pb2.SessionType
    def __init__(self, user_id: _Optional[int] = ..., session_id: _Optional[int] = ..., msg_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ...) -> None: ...

class IMMsgDataReadNotify(_message.Message):
    __slots__ = ("user_id", "session_id", "msg_id", "session_type")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_id: int
    msg_id: int
    session_type: _base_define_pb2.SessionType
    def __init__(self, user_id: _Optional[int] = ..., session_id: _Optional[int] = ..., msg_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ...) -> None: ...

class IMClientTimeReq(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IMClientTimeRsp(_message.Message):
    __slots__ = ("server_time",)
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    server_time: int
    def __init__(self, server_time: _Optional[int] = ...) -> None: ...

class IMUnreadMsgCntReq(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMUnreadMsgCntRsp(_message.Message):
    __slots__ = ("user_id", "total_cnt", "unreadinfo_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CNT_FIELD_NUMBER: _ClassVar[int]
    UNREADINFO_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    total_cnt: int
    unreadinfo_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UnreadInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., total_cnt: _Optional[int] = ..., unreadinfo_list: _Optional[_Iterable[_Union[_base_define_pb2.UnreadInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetMsgListReq(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "msg_id_begin", "msg_cnt", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_BEGIN_FIELD_NUMBER: _ClassVar[int]
    MSG_CNT_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    msg_id_begin: int
    msg_cnt: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., msg_id_begin: _Optional[int] = ..., msg_cnt: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetMsgListRsp(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "msg_id_begin", "msg_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_BEGIN_FIELD_NUMBER: _ClassVar[int]
    MSG_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    msg_id_begin: int
    msg_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.MsgInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., msg_id_begin: _Optional[int] = ..., msg_list: _Optional[_Iterable[_Union[_base_define_pb2.MsgInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetLatestMsgIdReq(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetLatestMsgIdRsp(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "latest_msg_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    latest_msg_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., latest_msg_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetMsgByIdReq(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "msg_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    msg_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., msg_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetMsgByIdRsp(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id", "msg_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MSG_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    msg_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.MsgInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., msg_list: _Optional[_Iterable[_Union[_base_define_pb2.MsgInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...
