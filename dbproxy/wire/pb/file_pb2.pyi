from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMFileLoginReq(_message.Message):
    __slots__ = ("user_id", "task_id", "file_role")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_ROLE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    task_id: str
    file_role: _base_define_pb2.ClientFileRole
    def __init__(self, user_id: _Optional[int] = ..., task_id: _Optional[str] = ..., file_role: _Optional[_Union[_base_define_pb2.ClientFileRole, str]] = ...) -> None: ...

class IMFileLoginRsp(_message.Message):
    __slots__ = ("result_code", "task_id")
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    result_code: int
    task_id: str
    def __init__(self, result_code: _Optional[int] = ..., task_id: _Optional[str] = ...) -> None: ...

class IMFileState(_message.Message):
    __slots__ = ("state", "task_id", "user_id")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    state: _base_define_pb2.ClientFileState
    task_id: str
    user_id: int
    def __init__(self, state: _Optional[_Union[_base_define_pb2.ClientFileState, str]] = ..., task_id: _Optional[str] = ..., user_id: _Optional[int] = ...) -> None: ...

class IMFilePullDataReq(_message.Message):
    __slots__ = ("task_id", "user_id", "trans_mode", "offset", "data_size")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_SIZE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    user_id: int
    trans_mode: _base_define_pb2.TransferFileType
    offset: int
    data_size: int
    def __init__(self, task_id: _Optional[str] = ..., user_id: _Optional[int] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ..., offset: _Optional[int] = ..., data_size: _Optional[int] = ...) -> None: ...

class IMFilePullDataRsp(_message.Message):
    __slots__ = ("result_code", "task_id", "user_id", "offset", "file_data")
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FILE_DATA_FIELD_NUMBER: _ClassVar[int]
    result_code: int
    task_id: str
    user_id: int
    offset: int
    file_data: bytes
    def __init__(self, result_code: _Optional[int] = ..., task_id: _Optional[str] = ..., user_id: _Optional[int] = ..., offset: _Optional[int] = ..., file_data: _Optional[bytes] = ...) -> None: ...

class IMFileReq(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "file_name", "file_size", "trans_mode")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    file_name: str
    file_size: int
    trans_mode: _base_define_pb2.TransferFileType
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ...) -> None: ...

class IMFileRsp(_message.Message):
    __slots__ = ("result_code", "from_user_id", "to_user_id", "file_name", "task_id", "ip_addr_list", "trans_mode")
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_LIST_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    result_code: int
    from_user_id: int
    to_user_id: int
    file_name: str
    task_id: str
    ip_addr_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.IpAddr]
    trans_mode: _base_define_pb2.TransferFileType
    def __init__(self, result_code: _Optional[int] = ..., from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., file_name: _Optional[str] = ..., task_id: _Optional[str] = ..., ip_addr_list: _Optional[_Iterable[_Union[_base_define_pb2.IpAddr, _Mapping]]] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ...) -> None: ...

class IMFileNotify(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "file_name", "file_size", "task_id", "ip_addr_list", "trans_mode", "offline_ready")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_LIST_FIELD_NUMBER: _ClassVar[int]
    TRANS_MODE_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_READY_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    file_name: str
    file_size: int
    task_id: str
    ip_addr_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.IpAddr]
    trans_mode: _base_define_pb2.TransferFileType
    offline_ready: int
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ..., task_id: _Optional[str] = ..., ip_addr_list: _Optional[_Iterable[_Union[_base_define_pb2.IpAddr, _Mapping]]] = ..., trans_mode: _Optional[_Union[_base_define_pb2.TransferFileType, str]] = ..., offline_ready: _Optional[int] = ...) -> None: ...

class IMFileHasOfflineReq(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMFileHasOfflineRsp(_message.Message):
    __slots__ = ("user_id", "offline_file_list", "ip_addr_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FILE_LIST_FIELD_NUMBER: _ClassVar[int]
    IP_ADDR_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    offline_file_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.OfflineFileInfo]
    ip_addr_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.IpAddr]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., offline_file_list: _Optional[_Iterable[_Union[_base_define_pb2.OfflineFileInfo, _Mapping]]] = ..., ip_addr_list: _Optional[_Iterable[_Union[_base_define_pb2.IpAddr, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMFileAddOfflineReq(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "task_id", "file_name", "file_size")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    task_id: str
    file_name: str
    file_size: int
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., task_id: _Optional[str] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ...) -> None: ...

class IMFileDelOfflineReq(_message.Message):
    __slots__ = ("from_user_id", "to_user_id", "task_id")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    to_user_id: int
    task_id: str
    def __init__(self, from_user_id: _Optional[int] = ..., to_user_id: _Optional[int] = ..., task_id: _Optional[str] = ...) -> None: ...
