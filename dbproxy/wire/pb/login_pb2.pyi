from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMMsgServReq(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IMMsgServRsp(_message.Message):
    __slots__ = ("result_code", "prior_ip", "backip_ip", "port")
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    PRIOR_IP_FIELD_NUMBER: _ClassVar[int]
    BACKIP_IP_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    result_code: _base_define_pb2.ResultType
    prior_ip: str
    backip_ip: str
    port: int
    def __init__(self, result_code: _Optional[_Union[_base_define_pb2.ResultType, str]] = ..., prior_ip: _Optional[str] = ..., backip_ip: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class IMLoginReq(_message.Message):
    __slots__ = ("user_name", "password", "online_status", "client_type", "client_version")
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ONLINE_STATUS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    user_name: str
    password: str
    online_status: _base_define_pb2.UserStatType
    client_type: _base_define_pb2.ClientType
    client_version: str
    def __init__(self, user_name: _Optional[str] = ..., password: _Optional[str] = ..., online_status: _Optional[_Union[_base_define_pb2.UserStatType, str]] = ..., client_type: _Optional[_Union[_base_define_pb2.ClientType, str]] = ..., client_version: _Optional[str] = ...) -> None: ...

class IMLoginRes(_message.Message):
    __slots__ = ("server_time", "result_code", "result_string", "online_status", "user_info")
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    RESULT_STRING_FIELD_NUMBER: _ClassVar[int]
    ONLINE_STATUS_FIELD_NUMBER: _ClassVar[int]
    USER_INFO_FIELD_NUMBER: _ClassVar[int]
    server_time: int
    result_code: _base_define_pb2.ResultType
    result_string: str
    online_status: _base_define_pb2.UserStatType
    user_info: _base_define_pb2.UserInfo
    def __init__(self, server_time: _Optional[int] = ..., result_code: _Optional[_Union[_base_define_pb2.ResultType, str]] = ..., result_string: _Optional[str] = ..., online_status: _Optional[_Union[_base_define_pb2.UserStatType, str]] = ..., user_info: _Optional[_Union[_base_define_pb2.UserInfo, _Mapping]] = ...) -> None: ...

class IMLogoutReq(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IMLogoutRsp(_message.Message):
    __slots__ = ("result_code",)
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    result_code: int
    def __init__(self, result_code: _Optional[int] = ...) -> None: ...

class IMKickUser(_message.Message):
    __slots__ = ("user_id", "kick_reason")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    KICK_REASON_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    kick_reason: _base_define_pb2.KickReasonType
    def __init__(self, user_id: _Optional[int] = ..., kick_reason: _Optional[_Union[_base_define_pb2.KickReasonType, str]] = ...) -> None: ...

class IMDeviceTokenReq(_message.Message):
    __slots__ = ("user_id", "device_token", "client_type", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    device_token: str
    client_type: _base_define_pb2.ClientType
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., device_token: _Optional[str] = ..., client_type: _Optional[_Union[_base_define_pb2.ClientType, str]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMDeviceTokenRsp(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMKickPCClientReq(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    def __init__(self, user_id: _Optional[int] = ...) -> None: ...

class IMKickPCClientRsp(_message.Message):
    __slots__ = ("user_id", "result_code")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ...) -> None: ...

class IMPushShieldReq(_message.Message):
    __slots__ = ("user_id", "shield_status", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    shield_status: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., shield_status: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMPushShieldRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "shield_status", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    shield_status: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., shield_status: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMQueryPushShieldReq(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMQueryPushShieldRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "shield_status", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    shield_status: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., shield_status: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...
