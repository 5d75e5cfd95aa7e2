from dbproxy.wire.pb import base_define_pb2 as _base_define_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IMNormalGroupListReq(_message.Message):
    __slots__ = ("user_id", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMNormalGroupListRsp(_message.Message):
    __slots__ = ("user_id", "group_version_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_VERSION_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_version_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.GroupVersionInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_version_list: _Optional[_Iterable[_Union[_base_define_pb2.GroupVersionInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupInfoListReq(_message.Message):
    __slots__ = ("user_id", "group_version_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_VERSION_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_version_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.GroupVersionInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_version_list: _Optional[_Iterable[_Union[_base_define_pb2.GroupVersionInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupInfoListRsp(_message.Message):
    __slots__ = ("user_id", "group_info_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_INFO_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_info_list: _containers.RepeatedCompositeFieldContainer[_base_define_pb2.GroupInfo]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_info_list: _Optional[_Iterable[_Union[_base_define_pb2.GroupInfo, _Mapping]]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupCreateReq(_message.Message):
    __slots__ = ("user_id", "group_type", "group_name", "group_avatar", "member_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_AVATAR_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_type: _base_define_pb2.GroupType
    group_name: str
    group_avatar: str
    member_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_type: _Optional[_Union[_base_define_pb2.GroupType, str]] = ..., group_name: _Optional[str] = ..., group_avatar: _Optional[str] = ..., member_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupCreateRsp(_message.Message):
    __slots__ = ("user_id", "result_code", "group_id", "group_name", "user_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    result_code: int
    group_id: int
    group_name: str
    user_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., result_code: _Optional[int] = ..., group_id: _Optional[int] = ..., group_name: _Optional[str] = ..., user_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupChangeMemberReq(_message.Message):
    __slots__ = ("user_id", "change_type", "group_id", "member_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    change_type: _base_define_pb2.GroupModifyType
    group_id: int
    member_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., change_type: _Optional[_Union[_base_define_pb2.GroupModifyType, str]] = ..., group_id: _Optional[int] = ..., member_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupChangeMemberRsp(_message.Message):
    __slots__ = ("user_id", "change_type", "result_code", "group_id", "cur_user_id_list", "chg_user_id_list", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    CUR_USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    CHG_USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    change_type: _base_define_pb2.GroupModifyType
    result_code: int
    group_id: int
    cur_user_id_list: _containers.RepeatedScalarFieldContainer[int]
    chg_user_id_list: _containers.RepeatedScalarFieldContainer[int]
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., change_type: _Optional[_Union[_base_define_pb2.GroupModifyType, str]] = ..., result_code: _Optional[int] = ..., group_id: _Optional[int] = ..., cur_user_id_list: _Optional[_Iterable[int]] = ..., chg_user_id_list: _Optional[_Iterable[int]] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupShieldReq(_message.Message):
    __slots__ = ("user_id", "group_id", "shield_status", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_id: int
    shield_status: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_id: _Optional[int] = ..., shield_status: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupShieldRsp(_message.Message):
    __slots__ = ("user_id", "group_id", "result_code", "attach_data")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    ATTACH_DATA_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_id: int
    result_code: int
    attach_data: bytes
    def __init__(self, user_id: _Optional[int] = ..., group_id: _Optional[int] = ..., result_code: _Optional[int] = ..., attach_data: _Optional[bytes] = ...) -> None: ...

class IMGroupChangeMemberNotify(_message.Message):
    __slots__ = ("user_id", "change_type", "group_id", "cur_user_id_list", "chg_user_id_list")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    CUR_USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    CHG_USER_ID_LIST_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    change_type: _base_define_pb2.GroupModifyType
    group_id: int
    cur_user_id_list: _containers.RepeatedScalarFieldContainer[int]
    chg_user_id_list: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, user_id: _Optional[int] = ..., change_type: _Optional[_Union[_base_define_pb2.GroupModifyType, str]] = ..., group_id: _Optional[int] = ..., cur_user_id_list: _Optional[_Iterable[int]] = ..., chg_user_id_list: _Optional[_Iterable[int]] = ...) -> None: ...
