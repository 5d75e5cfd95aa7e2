from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMStopReceivePacket(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: int
    def __init__(self, result: _Optional[int] = ...) -> None: ...

class IMValidateReq(_message.Message):
    __slots__ = ("user_name", "password", "attach_data")
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_name: str
    password: str
    attach_data: bytes
    def __init__(self, user_name: _Optional[str] = ..., password: _Optional[str] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMValidateRsp(_message.Message):
    __slots__ = ("user_name", "result_code", "result_string", "user_info", "attach_data")
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    RESULT_STRING_FIELD_NUMBER: _ClassVar[int]
    USER_INFO_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_name: str
    result_code: int
    result_string: str
    user_info: _base_define_pb2.UserInfo
    attach_data: bytes
    def __init__(self, user_name: _Optional[str] = ..., result_code: _Optional[int] = ..., result_string: _Optional[str] = ..., user_info: _Optional[_Union[_base_define_pb2.UserInfo, _Mapping]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetDeviceTokenReq(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGetDeviceTokenRsp(_message.Message):
    __slots__ = ("user_token_info", "attach_data")
    USER_TOKEN_INFO_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_token_info: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UserTokenInfo]
    attach_data: bytes
    def __init__(self, user_token_info: _Optional[_Iterable[_Union[_base_define_pb2.UserTokenInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMRoleSet(_message.Message):
    __slots__ = ("master",)
    MASTER_FIELD_NUMBER: _ClassVar[int]
    master: int
    def __init__(self, master: _Optional[int] = ...) -> None: ...

class IMOnlineUserInfo(_message.Message):
    __slots__ = ("user_stat_list",)
    USER_STAT_LIST_FIELD_NUMBER: _ClassVar[int]
    user_stat_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.ServerUserStat]
    def __init__(self, user_stat_list: _Optional[_Iterable[_Union[_base_define_pb2.ServerUserStat, _Mapping]]] = ...) -> None: ...

class IMMsgServInfo(_message.Message):
    __slots__ = ("ip1", "ip2", "port", "max_conn_cnt", "cur_conn_cnt", "host_name")
    IP1_FIELD_NUMBER: _ClassVar[int]
    IP2_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    MAX_CONN_CNT_FIELD_NUMBER: _ClassVar[int]
    CUR_CONN_CNT_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    ip1: str
    ip2: str
    port: int
    max_conn_cnt: int
    cur_conn_cnt: int
    host_name: str
    def __init__(self, ip1: _Optional[str] = ..., ip2: _Optional[str] = ..., port: _Optional[int] = ..., max_conn_cnt: _Optional[int] = ..., cur_conn_cnt: _Optional[int] = ..., host_name: _Optional[str] = ...) -> None: ...

class IMUserStatusUpdate(_message.Message):
    __slots__ = ("user_status", "user_id", "client_type")
    USER_STATUS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_status: int
    user_id: int
    client_type: _base_define_pb2.ClientType
    def __init__(self, user_status: _Optional[int] = ..., user_id: _Optional[int] = ..., client_type: _Optional[_Union[_base_define_pb2.ClientType, str]] = ...) -> None: ...

class IMUserCntUpdate(_message.Message):
    __slots__ = ("user_action", "user_id")
    USER_ACTION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_action: int
    user_id: int
    def __init__(self, user_action: _Optional[int] = ..., user_id: _Optional[int] = ...) -> None: ...

class IMServerKickUser(_message.Message):
    __slots__ = ("user_id", "client_type", "reason")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    client_type: _base_define_pb2.ClientType
    reason: int
    def __init__(self, user_id: _Optional[int] = ..., client_type: _Optional[_Union[_base_define_pb2.ClientType, str]] = ..., reason: _Optional[int] = ...) -> None: ...

class IMServerPCLoginStatusNotify(_message.Message):
    __slots__ = ("user_id", "login_status")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LOGIN_STATUS_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    login_status: int
    def __init__(self, user_id: _Optional[int] = ..., login_status: _Optional[int] = ...) -> None: ...

class IMPushToUserReq(_message.Message):
    __slots__ = ("flash", "data", "user_token_list")
    FLASH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    USER_TOKEN_LIST_FIELD_NUMBER: _ClassVar[int]
    flash: str
    data: str
    user_token_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.UserTokenInfo]
    def __init__(self, flash: _Optional[str] = ..., data: _Optional[str] = ..., user_token_list: _Optional[_Iterable[_Union[_base_define_pb2.UserTokenInfo, _Mapping]]] = ...) -> None: ...

class IMPushToUserRsp(_message.Message):
    __slots__ = ("push_result_list",)
    PUSH_RESULT_LIST_FIELD_NUMBER: _ClassVar[int]
    push_result_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.PushResult]
    def __init__(self, push_result_list: _Optional[_Iterable[_Union[_base_define_pb2.PushResult, _Mapping]]] = ...) -> None: ...

class IMGroupGetShieldReq(_message.Message):
    __slots__ = ("group_id", "user_id", "attach_data")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    user_id: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, group_id: _Optional[int] = ..., user_id: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupGetShieldRsp(_message.Message):
    __slots__ = ("group_id", "shield_status_list", "attach_data")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    shield_status_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.ShieldStatus]
    attach_data: bytes
    def __init__(self, group_id: _Optional[int] = ..., shield_status_list: _Optional[_Iterable[_Union[_base_define_pb2.ShieldStatus, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMFileTransferReq(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "file_name", "file_size", "trans_mode", "attach_data")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    file_name: str
    file_size: int
    trans_mode: _base_define_pb2.TransferFileType
    attach_data: bytes
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMFileTransferRsp(_message.Message):
    __slots__ = ("result_code", "from_user_id", "to_user_id", "file_name", "file_size", "task_id", "trans_mode", "attach_data")
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    result_code: int
    from_user_id: int
    to_user_id: int
    file_name: str
    file_size: int
    task_id: str
    trans_mode: _base_define_pb2.TransferFileType
    attach_data: bytes
    def __init__(self, result_code: _Optional[int] = ..., from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ..., task_id: _Optional[str] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMFileServerIPReq(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IMFileServerIPRsp(_message.Message):
    __slots__ = ("ip_addr_list",)
    IP_ADDR_LIST_FIELD_NUMBER: _ClassVar[int]
    ip_addr_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.IpAddr]
    def __init__(self, ip_addr_list: _Optional[_Iterable[_Union[_base_define_pb2.IpAddr, _Mapping]]] = ...) -> None: ...
