from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMRecentContactSessionReq(_message.Message):
    __slots__ = ("user_id", "latest_update_time", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    latest_update_time: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., latest_update_time: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMRecentContactSessionRsp(_message.Message):
    __slots__ = ("user_id", "contact_session_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTACT_SESSION_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    contact_session_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.ContactSessionInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., contact_session_list: _Optional[_Iterable[_Union[_base_define_pb2.ContactSessionInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMUserStatNotify(_message.Message):
    __slots__ = ("user_stat",)
    USER_STAT_FIELD_NUMBER: _ClassVar[int]
    user_stat: _base_define_pb2.UserStat
    def __init__(self, user_stat: _Optional[_Union[_base_define_pb2.UserStat, _Mapping]] = ...) -> None: ...

class IMUsersInfoReq(_message.Message):
    __slots__ = ("user_id", "user_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., user_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMUsersInfoRsp(_message.Message):
    __slots__ = ("user_id", "user_info_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_INFO_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_info_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UserInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., user_info_list: _Optional[_Iterable[_Union[_base_define_pb2.UserInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMRemoveSessionReq(_message.Message):
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

class IMRemoveSessionRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "session_type", "session_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMAllUserReq(_message.Message):
    __slots__ = ("user_id", "latest_update_time", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    latest_update_time: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., latest_update_time: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMAllUserRsp(_message.Message):
    __slots__ = ("user_id", "latest_update_time", "user_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USER_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    latest_update_time: int
    user_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UserInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., latest_update_time: _Optional[int] = ..., user_list: _Optional[_Iterable[_Union[_base_define_pb2.UserInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMUsersStatReq(_message.Message):
    __slots__ = ("user_id", "user_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., user_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMUsersStatRsp(_message.Message):
    __slots__ = ("user_id", "user_stat_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_STAT_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_stat_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UserStat]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., user_stat_list: _Optional[_Iterable[_Union[_base_define_pb2.UserStat, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMChangeAvatarReq(_message.Message):
    __slots__ = ("user_id", "avatar_url", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AVATAR_URL_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    avatar_url: str
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., avatar_url: _Optional[str] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMChangeAvatarRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMPCLoginStatusNotify(_message.Message):
    __slots__ = ("user_id", "login_stat")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LOGIN_STAT_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    login_stat: _base_define_pb2.UserStatType
    def __init__(self, user_id: _Optional[int] = ..., login_stat: _Optional[_Union[_base_define_pb2.UserStatType, str]] = ...) -> None: ...

class IMRemoveSessionNotify(_message.Message):
    __slots__ = ("user_id", "session_type", "session_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session_type: _base_define_pb2.SessionType
    session_id: int
    def __init__(self, user_id: _Optional[int] = ..., session_type: _Optional[_Union[_base_define_pb2.SessionType, str]] = ..., session_id: _Optional[int] = ...) -> None: ...

class IMDepartmentReq(_message.Message):
    __slots__ = ("user_id", "latest_update_time", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    latest_update_time: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., latest_update_time: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMDepartmentRsp(_message.Message):
    __slots__ = ("user_id", "latest_update_time", "dept_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEPT_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    latest_update_time: int
    dept_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.DepartInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., latest_update_time: _Optional[int] = ..., dept_list: _Optional[_Iterable[_Union[_base_define_pb2.DepartInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMAvatarChangedNotify(_message.Message):
    __slots__ = ("changed_user_id", "avatar_url")
    CHANGED_USER_ID_FIELD_NUMBER: _ClassVar[int]
    AVATAR_URL_FIELD_NUMBER: _ClassVar[int]
    changed_user_id: int
    avatar_url: str
    def __init__(self, changed_user_id: _Optional[int] = ..., avatar_url: _Optional[str] = ...) -> None: ...

class IMChangeSignInfoReq(_message.Message):
    __slots__ = ("user_id", "sign_info", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SIGN_INFO_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    sign_info: str
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., sign_info: _Optional[str] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMChangeSignInfoRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "sign_info", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGN_INFO_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    sign_info: str
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., sign_info: _Optional[str] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMSignInfoChangedNotify(_message.Message):
    __slots__ = ("changed_user_id", "sign_info")
    CHANGED_USER_ID_FIELD_NUMBER: _ClassVar[int]
    SIGN_INFO_FIELD_NUMBER: _ClassVar[int]
    changed_user_id: int
    sign_info: str
    def __init__(self, changed_user_id: _Optional[int] = ..., sign_info: _Optional[str] = ...) -> None: ...
