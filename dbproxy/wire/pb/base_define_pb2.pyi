from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SID_LOGIN: _ClassVar[ServiceID]
    SID_BUDDY_LIST: _ClassVar[ServiceID]
    SID_MSG: _ClassVar[ServiceID]
    SID_GROUP: _ClassVar[ServiceID]
    SID_FILE: _ClassVar[ServiceID]
    SID_SWITCH_SERVICE: _ClassVar[ServiceID]
    SID_OTHER: _ClassVar[ServiceID]
    SID_INTERNAL: _ClassVar[ServiceID]

class LoginCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_LOGIN_REQ_MSGSERVER: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_MSGSERVER: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_USERLOGIN: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_USERLOGIN: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_LOGINOUT: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_LOGINOUT: _ClassVar[LoginCmdID]
    CID_LOGIN_KICK_USER: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_DEVICETOKEN: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_DEVICETOKEN: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_KICKPCCLIENT: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_KICKPCCLIENT: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_PUSH_SHIELD: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_PUSH_SHIELD: _ClassVar[LoginCmdID]
    CID_LOGIN_REQ_QUERY_PUSH_SHIELD: _ClassVar[LoginCmdID]
    CID_LOGIN_RES_QUERY_PUSH_SHIELD: _ClassVar[LoginCmdID]

class BuddyListCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_BUDDY_LIST_RECENT_CONTACT_SESSION_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_RECENT_CONTACT_SESSION_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_STATUS_NOTIFY: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_USER_INFO_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_USER_INFO_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_REMOVE_SESSION_REQ: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_REMOVE_SESSION_RES: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_ALL_USER_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_ALL_USER_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_USERS_STATUS_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_USERS_STATUS_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_CHANGE_AVATAR_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_CHANGE_AVATAR_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_PC_LOGIN_STATUS_NOTIFY: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_REMOVE_SESSION_NOTIFY: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_DEPARTMENT_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_DEPARTMENT_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_AVATAR_CHANGED_NOTIFY: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_CHANGE_SIGN_INFO_RESPONSE: _ClassVar[BuddyListCmdID]
    CID_BUDDY_LIST_SIGN_INFO_CHANGED_NOTIFY: _ClassVar[BuddyListCmdID]

class MessageCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_MSG_DATA: _ClassVar[MessageCmdID]
    CID_MSG_DATA_ACK: _ClassVar[MessageCmdID]
    CID_MSG_READ_ACK: _ClassVar[MessageCmdID]
    CID_MSG_READ_NOTIFY: _ClassVar[MessageCmdID]
    CID_MSG_TIME_REQUEST: _ClassVar[MessageCmdID]
    CID_MSG_TIME_RESPONSE: _ClassVar[MessageCmdID]
    CID_MSG_UNREAD_CNT_REQUEST: _ClassVar[MessageCmdID]
    CID_MSG_UNREAD_CNT_RESPONSE: _ClassVar[MessageCmdID]
    CID_MSG_LIST_REQUEST: _ClassVar[MessageCmdID]
    CID_MSG_LIST_RESPONSE: _ClassVar[MessageCmdID]
    CID_MSG_GET_LATEST_MSG_ID_REQ: _ClassVar[MessageCmdID]
    CID_MSG_GET_LATEST_MSG_ID_RSP: _ClassVar[MessageCmdID]
    CID_MSG_GET_BY_MSG_ID_REQ: _ClassVar[MessageCmdID]
    CID_MSG_GET_BY_MSG_ID_RES: _ClassVar[MessageCmdID]

class GroupCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_GROUP_NORMAL_LIST_REQUEST: _ClassVar[GroupCmdID]
    CID_GROUP_NORMAL_LIST_RESPONSE: _ClassVar[GroupCmdID]
    CID_GROUP_INFO_REQUEST: _ClassVar[GroupCmdID]
    CID_GROUP_INFO_RESPONSE: _ClassVar[GroupCmdID]
    CID_GROUP_CREATE_REQUEST: _ClassVar[GroupCmdID]
    CID_GROUP_CREATE_RESPONSE: _ClassVar[GroupCmdID]
    CID_GROUP_CHANGE_MEMBER_REQUEST: _ClassVar[GroupCmdID]
    CID_GROUP_CHANGE_MEMBER_RESPONSE: _ClassVar[GroupCmdID]
    CID_GROUP_SHIELD_GROUP_REQUEST: _ClassVar[GroupCmdID]
    CID_GROUP_SHIELD_GROUP_RESPONSE: _ClassVar[GroupCmdID]
    CID_GROUP_CHANGE_MEMBER_NOTIFY: _ClassVar[GroupCmdID]

class FileCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_FILE_LOGIN_REQ: _ClassVar[FileCmdID]
    CID_FILE_LOGIN_RES: _ClassVar[FileCmdID]
    CID_FILE_STATE: _ClassVar[FileCmdID]
    CID_FILE_PULL_DATA_REQ: _ClassVar[FileCmdID]
    CID_FILE_PULL_DATA_RSP: _ClassVar[FileCmdID]
    CID_FILE_REQUEST: _ClassVar[FileCmdID]
    CID_FILE_RESPONSE: _ClassVar[FileCmdID]
    CID_FILE_NOTIFY: _ClassVar[FileCmdID]
    CID_FILE_HAS_OFFLINE_REQ: _ClassVar[FileCmdID]
    CID_FILE_HAS_OFFLINE_RES: _ClassVar[FileCmdID]
    CID_FILE_ADD_OFFLINE_REQ: _ClassVar[FileCmdID]
    CID_FILE_DEL_OFFLINE_REQ: _ClassVar[FileCmdID]

class SwitchServiceCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_SWITCH_P2P_CMD: _ClassVar[SwitchServiceCmdID]

class OtherCmdID(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CID_OTHER_HEARTBEAT: _ClassVar[OtherCmdID]
    CID_OTHER_STOP_RECV_PACKET: _ClassVar[OtherCmdID]
    CID_OTHER_VALIDATE_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_VALIDATE_RSP: _ClassVar[OtherCmdID]
    CID_OTHER_GET_DEVICE_TOKEN_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_GET_DEVICE_TOKEN_RSP: _ClassVar[OtherCmdID]
    CID_OTHER_ROLE_SET: _ClassVar[OtherCmdID]
    CID_OTHER_ONLINE_USER_INFO: _ClassVar[OtherCmdID]
    CID_OTHER_MSG_SERV_INFO: _ClassVar[OtherCmdID]
    CID_OTHER_USER_STATUS_UPDATE: _ClassVar[OtherCmdID]
    CID_OTHER_USER_CNT_UPDATE: _ClassVar[OtherCmdID]
    CID_OTHER_SERVER_KICK_USER: _ClassVar[OtherCmdID]
    CID_OTHER_LOGIN_STATUS_NOTIFY: _ClassVar[OtherCmdID]
    CID_OTHER_PUSH_TO_USER_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_PUSH_TO_USER_RSP: _ClassVar[OtherCmdID]
    CID_OTHER_GET_SHIELD_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_GET_SHIELD_RSP: _ClassVar[OtherCmdID]
    CID_OTHER_FILE_TRANSFER_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_FILE_TRANSFER_RSP: _ClassVar[OtherCmdID]
    CID_OTHER_FILE_SERVER_IP_REQ: _ClassVar[OtherCmdID]
    CID_OTHER_FILE_SERVER_IP_RSP: _ClassVar[OtherCmdID]

class ResultType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSE_REASON_NONE: _ClassVar[ResultType]
    REFUSE_REASON_NO_MSG_SERVER: _ClassVar[ResultType]
    REFUSE_REASON_MSG_SERVER_FULL: _ClassVar[ResultType]
    REFUSE_REASON_NO_DB_SERVER: _ClassVar[ResultType]
    REFUSE_REASON_NO_LOGIN_SERVER: _ClassVar[ResultType]
    REFUSE_REASON_NO_ROUTE_SERVER: _ClassVar[ResultType]
    REFUSE_REASON_DB_VALIDATE_FAILED: _ClassVar[ResultType]
    REFUSE_REASON_VERSION_TOO_OLD: _ClassVar[ResultType]

class KickReasonType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KICK_REASON_DUPLICATE_USER: _ClassVar[KickReasonType]
    KICK_REASON_MOBILE_KICK: _ClassVar[KickReasonType]

class OnlineListType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ONLINE_LIST_TYPE_FRIEND_LIST: _ClassVar[OnlineListType]

class UserStatType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_STATUS_ONLINE: _ClassVar[UserStatType]
    USER_STATUS_OFFLINE: _ClassVar[UserStatType]
    USER_STATUS_LEAVE: _ClassVar[UserStatType]

class SessionType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_TYPE_SINGLE: _ClassVar[SessionType]
    SESSION_TYPE_GROUP: _ClassVar[SessionType]

class MsgType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MSG_TYPE_SINGLE_TEXT: _ClassVar[MsgType]
    MSG_TYPE_SINGLE_AUDIO: _ClassVar[MsgType]
    MSG_TYPE_GROUP_TEXT: _ClassVar[MsgType]
    MSG_TYPE_GROUP_AUDIO: _ClassVar[MsgType]

class ClientType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIENT_TYPE_WINDOWS: _ClassVar[ClientType]
    CLIENT_TYPE_MAC: _ClassVar[ClientType]
    CLIENT_TYPE_IOS: _ClassVar[ClientType]
    CLIENT_TYPE_ANDROID: _ClassVar[ClientType]

class GroupType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_TYPE_NORMAL: _ClassVar[GroupType]
    GROUP_TYPE_TMP: _ClassVar[GroupType]

class GroupModifyType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_MODIFY_TYPE_ADD: _ClassVar[GroupModifyType]
    GROUP_MODIFY_TYPE_DEL: _ClassVar[GroupModifyType]

class TransferFileType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_TYPE_ONLINE: _ClassVar[TransferFileType]
    FILE_TYPE_OFFLINE: _ClassVar[TransferFileType]

class ClientFileState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIENT_FILE_PEER_READY: _ClassVar[ClientFileState]
    CLIENT_FILE_CANCEL: _ClassVar[ClientFileState]
    CLIENT_FILE_REFUSE: _ClassVar[ClientFileState]
    CLIENT_FILE_DONE: _ClassVar[ClientFileState]

class ClientFileRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIENT_REALTIME_SENDER: _ClassVar[ClientFileRole]
    CLIENT_REALTIME_RECVER: _ClassVar[ClientFileRole]
    CLIENT_OFFLINE_UPLOAD: _ClassVar[ClientFileRole]
    CLIENT_OFFLINE_DOWNLOAD: _ClassVar[ClientFileRole]

class FileServerError(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_SERVER_ERRNO_OK: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_CREATE_TASK_ID_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_CREATE_TASK_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_LOGIN_INVALID_TOKEN: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_INVALID_USER_FOR_TASK: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_WITH_INVALID_TASK_ID: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_ILLIEAGE_USER: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_MKDIR_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_OPEN_FILE_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_READ_FILE_HEADER_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_ALLOC_MEM_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_SEEK_OFFSET_ERROR: _ClassVar[FileServerError]
    FILE_SERVER_ERRNO_PULL_DATA_FINISHED: _ClassVar[FileServerError]

class SessionStatusType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATUS_OK: _ClassVar[SessionStatusType]
    SESSION_STATUS_DELETE: _ClassVar[SessionStatusType]

class DepartmentStatusType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPT_STATUS_OK: _ClassVar[DepartmentStatusType]
    DEPT_STATUS_DELETE: _ClassVar[DepartmentStatusType]
SID_LOGIN: ServiceID
SID_BUDDY_LIST: ServiceID
SID_MSG: ServiceID
SID_GROUP: ServiceID
SID_FILE: ServiceID
SID_SWITCH_SERVICE: ServiceID
SID_OTHER: ServiceID
SID_INTERNAL: ServiceID
CID_LOGIN_REQ_MSGSERVER: LoginCmdID
CID_LOGIN_RES_MSGSERVER: LoginCmdID
CID_LOGIN_REQ_USERLOGIN: LoginCmdID
CID_LOGIN_RES_USERLOGIN: LoginCmdID
CID_LOGIN_REQ_LOGINOUT: LoginCmdID
CID_LOGIN_RES_LOGINOUT: LoginCmdID
CID_LOGIN_KICK_USER: LoginCmdID
CID_LOGIN_REQ_DEVICETOKEN: LoginCmdID
CID_LOGIN_RES_DEVICETOKEN: LoginCmdID
CID_LOGIN_REQ_KICKPCCLIENT: LoginCmdID
CID_LOGIN_RES_KICKPCCLIENT: LoginCmdID
CID_LOGIN_REQ_PUSH_SHIELD: LoginCmdID
CID_LOGIN_RES_PUSH_SHIELD: LoginCmdID
CID_LOGIN_REQ_QUERY_PUSH_SHIELD: LoginCmdID
CID_LOGIN_RES_QUERY_PUSH_SHIELD: LoginCmdID
CID_BUDDY_LIST_RECENT_CONTACT_SESSION_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_RECENT_CONTACT_SESSION_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_STATUS_NOTIFY: BuddyListCmdID
CID_BUDDY_LIST_USER_INFO_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_USER_INFO_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_REMOVE_SESSION_REQ: BuddyListCmdID
CID_BUDDY_LIST_REMOVE_SESSION_RES: BuddyListCmdID
CID_BUDDY_LIST_ALL_USER_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_ALL_USER_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_USERS_STATUS_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_USERS_STATUS_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_CHANGE_AVATAR_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_CHANGE_AVATAR_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_PC_LOGIN_STATUS_NOTIFY: BuddyListCmdID
CID_BUDDY_LIST_REMOVE_SESSION_NOTIFY: BuddyListCmdID
CID_BUDDY_LIST_DEPARTMENT_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_DEPARTMENT_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_AVATAR_CHANGED_NOTIFY: BuddyListCmdID
CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST: BuddyListCmdID
CID_BUDDY_LIST_CHANGE_SIGN_INFO_RESPONSE: BuddyListCmdID
CID_BUDDY_LIST_SIGN_INFO_CHANGED_NOTIFY: BuddyListCmdID
CID_MSG_DATA: MessageCmdID
CID_MSG_DATA_ACK: MessageCmdID
CID_MSG_READ_ACK: MessageCmdID
CID_MSG_READ_NOTIFY: MessageCmdID
CID_MSG_TIME_REQUEST: MessageCmdID
CID_MSG_TIME_RESPONSE: MessageCmdID
CID_MSG_UNREAD_CNT_REQUEST: MessageCmdID
CID_MSG_UNREAD_CNT_RESPONSE: MessageCmdID
CID_MSG_LIST_REQUEST: MessageCmdID
CID_MSG_LIST_RESPONSE: MessageCmdID
CID_MSG_GET_LATEST_MSG_ID_REQ: MessageCmdID
CID_MSG_GET_LATEST_MSG_ID_RSP: MessageCmdID
CID_MSG_GET_BY_MSG_ID_REQ: MessageCmdID
CID_MSG_GET_BY_MSG_ID_RES: MessageCmdID
CID_GROUP_NORMAL_LIST_REQUEST: GroupCmdID
CID_GROUP_NORMAL_LIST_RESPONSE: GroupCmdID
CID_GROUP_INFO_REQUEST: GroupCmdID
CID_GROUP_INFO_RESPONSE: GroupCmdID
CID_GROUP_CREATE_REQUEST: GroupCmdID
CID_GROUP_CREATE_RESPONSE: GroupCmdID
CID_GROUP_CHANGE_MEMBER_REQUEST: GroupCmdID
CID_GROUP_CHANGE_MEMBER_RESPONSE: GroupCmdID
CID_GROUP_SHIELD_GROUP_REQUEST: GroupCmdID
CID_GROUP_SHIELD_GROUP_RESPONSE: GroupCmdID
CID_GROUP_CHANGE_MEMBER_NOTIFY: GroupCmdID
CID_FILE_LOGIN_REQ: FileCmdID
CID_FILE_LOGIN_RES: FileCmdID
CID_FILE_STATE: FileCmdID
CID_FILE_PULL_DATA_REQ: FileCmdID
CID_FILE_PULL_DATA_RSP: FileCmdID
CID_FILE_REQUEST: FileCmdID
CID_FILE_RESPONSE: FileCmdID
CID_FILE_NOTIFY: FileCmdID
CID_FILE_HAS_OFFLINE_REQ: FileCmdID
CID_FILE_HAS_OFFLINE_RES: FileCmdID
CID_FILE_ADD_OFFLINE_REQ: FileCmdID
CID_FILE_DEL_OFFLINE_REQ: FileCmdID
CID_SWITCH_P2P_CMD: SwitchServiceCmdID
CID_OTHER_HEARTBEAT: OtherCmdID
CID_OTHER_STOP_RECV_PACKET: OtherCmdID
CID_OTHER_VALIDATE_REQ: OtherCmdID
CID_OTHER_VALIDATE_RSP: OtherCmdID
CID_OTHER_GET_DEVICE_TOKEN_REQ: OtherCmdID
CID_OTHER_GET_DEVICE_TOKEN_RSP: OtherCmdID
CID_OTHER_ROLE_SET: OtherCmdID
CID_OTHER_ONLINE_USER_INFO: OtherCmdID
CID_OTHER_MSG_SERV_INFO: OtherCmdID
CID_OTHER_USER_STATUS_UPDATE: OtherCmdID
CID_OTHER_USER_CNT_UPDATE: OtherCmdID
CID_OTHER_SERVER_KICK_USER: OtherCmdID
CID_OTHER_LOGIN_STATUS_NOTIFY: OtherCmdID
CID_OTHER_PUSH_TO_USER_REQ: OtherCmdID
CID_OTHER_PUSH_TO_USER_RSP: OtherCmdID
CID_OTHER_GET_SHIELD_REQ: OtherCmdID
CID_OTHER_GET_SHIELD_RSP: OtherCmdID
CID_OTHER_FILE_TRANSFER_REQ: OtherCmdID
CID_OTHER_FILE_TRANSFER_RSP: OtherCmdID
CID_OTHER_FILE_SERVER_IP_REQ: OtherCmdID
CID_OTHER_FILE_SERVER_IP_RSP: OtherCmdID
REFUSE_REASON_NONE: ResultType
REFUSE_REASON_NO_MSG_SERVER: ResultType
REFUSE_REASON_MSG_SERVER_FULL: ResultType
REFUSE_REASON_NO_DB_SERVER: ResultType
REFUSE_REASON_NO_LOGIN_SERVER: ResultType
REFUSE_REASON_NO_ROUTE_SERVER: ResultType
REFUSE_REASON_DB_VALIDATE_FAILED: ResultType
REFUSE_REASON_VERSION_TOO_OLD: ResultType
KICK_REASON_DUPLICATE_USER: KickReasonType
KICK_REASON_MOBILE_KICK: KickReasonType
ONLINE_LIST_TYPE_FRIEND_LIST: OnlineListType
USER_STATUS_ONLINE: UserStatType
USER_STATUS_OFFLINE: UserStatType
USER_STATUS_LEAVE: UserStatType
SESSION_TYPE_SINGLE: SessionType
SESSION_TYPE_GROUP: SessionType
MSG_TYPE_SINGLE_TEXT: MsgType
MSG_TYPE_SINGLE_AUDIO: MsgType
MSG_TYPE_GROUP_TEXT: MsgType
MSG_TYPE_GROUP_AUDIO: MsgType
CLIENT_TYPE_WINDOWS: ClientType
CLIENT_TYPE_MAC: ClientType
CLIENT_TYPE_IOS: ClientType
CLIENT_TYPE_ANDROID: ClientType
GROUP_TYPE_NORMAL: GroupType
GROUP_TYPE_TMP: GroupType
GROUP_MODIFY_TYPE_ADD: GroupModifyType
GROUP_MODIFY_TYPE_DEL: GroupModifyType
FILE_TYPE_ONLINE: TransferFileType
FILE_TYPE_OFFLINE: TransferFileType
CLIENT_FILE_PEER_READY: ClientFileState
CLIENT_FILE_CANCEL: ClientFileState
CLIENT_FILE_REFUSE: ClientFileState
CLIENT_FILE_DONE: ClientFileState
CLIENT_REALTIME_SENDER: ClientFileRole
CLIENT_REALTIME_RECVER: ClientFileRole
CLIENT_OFFLINE_UPLOAD: ClientFileRole
CLIENT_OFFLINE_DOWNLOAD: ClientFileRole
FILE_SERVER_ERRNO_OK: FileServerError
FILE_SERVER_ERRNO_CREATE_TASK_ID_ERROR: FileServerError
FILE_SERVER_ERRNO_CREATE_TASK_ERROR: FileServerError
FILE_SERVER_ERRNO_LOGIN_INVALID_TOKEN: FileServerError
FILE_SERVER_ERRNO_INVALID_USER_FOR_TASK: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_WITH_INVALID_TASK_ID: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_ILLIEAGE_USER: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_MKDIR_ERROR: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_OPEN_FILE_ERROR: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_READ_FILE_HEADER_ERROR: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_ALLOC_MEM_ERROR: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_SEEK_OFFSET_ERROR: FileServerError
FILE_SERVER_ERRNO_PULL_DATA_FINISHED: FileServerError
SESSION_STATUS_OK: SessionStatusType
SESSION_STATUS_DELETE: SessionStatusType
DEPT_STATUS_OK: DepartmentStatusType
DEPT_STATUS_DELETE: DepartmentStatusType

class IpAddr(_message.Message):
    __slots__ = ("ip", "port")
    IP_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    ip: str
    port: int
    def __init__(self, ip: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class UserInfo(_message.Message):
    __slots__ = ("user_id", "user_gender", "user_nick_name", "avatar_url", "department_id", "email", "user_real_name", "user_tel", "user_domain", "status", "sign_info")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_GENDER_FIELD_NUMBER: _ClassVar[int]
    USER_NICK_NAME_FIELD_NUMBER: _ClassVar[int]
    AVATAR_URL_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    USER_REAL_NAME_FIELD_NUMBER: _ClassVar[int]
    USER_TEL_FIELD_NUMBER: _ClassVar[int]
    USER_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SIGN_INFO_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_gender: int
    user_nick_name: str
    avatar_url: str
    department_id: int
    email: str
    user_real_name: str
    user_tel: str
    user_domain: str
    status: int
    sign_info: str
    def __init__(self, user_id: _Optional[int] = ..., user_gender: _Optional[int] = ..., user_nick_name: _Optional[str] = ..., avatar_url: _Optional[str] = ..., department_id: _Optional[int] = ..., email: _Optional[str] = ..., user_real_name: _Optional[str] = ..., user_tel: _Optional[str] = ..., user_domain: _Optional[str] = ..., status: _Optional[int] = ..., sign_info: _Optional[str] = ...) -> None: ...

class ContactSessionInfo(_message.Message):
    __slots__ = ("session_id", "session_type", "session_status", "updated_time", "latest_msg_id", "latest_msg_data", "latest_msg_type", "latest_msg_from_user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATUS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_TIME_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_DATA_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_TYPE_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    session_type: SessionType
    session_status: SessionStatusType
    updated_time: int
    latest_msg_id: int
    latest_msg_data: bytes
    latest_msg_type: MsgType
    latest_msg_from_user_id: int
    def __init__(self, session_id: _Optional[int] = ..., session_type: _Optional[_Union[SessionType, str]] = ..., session_status: _Optional[_Union[SessionStatusType, str]] = ..., updated_time: _Optional[int] = ..., latest_msg_id: _Optional[int] = ..., latest_msg_data: _Optional[bytes] = ..., latest_msg_type: _Optional[_Union[MsgType, str]] = ..., latest_msg_from_user_id: _Optional[int] = ...) -> None: ...

class UserStat(_message.Message):
    __slots__ = ("user_id", "status")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    status: UserStatType
    def __init__(self, user_id: _Optional[int] = ..., status: _Optional[_Union[UserStatType, str]] = ...) -> None: ...

class ServerUserStat(_message.Message):
    __slots__ = ("user_id", "status", "client_type")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    status: UserStatType
    client_type: ClientType
    def __init__(self, user_id: _Optional[int] = ..., status: _Optional[_Union[UserStatType, str]] = ..., client_type: _Optional[_Union[ClientType, str]] = ...) -> None: ...

class UnreadInfo(_message.Message):
    __slots__ = ("session_id", "session_type", "unread_cnt", "latest_msg_id", "latest_msg_data", "latest_msg_type", "latest_msg_from_user_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TYPE_FIELD_NUMBER: _ClassVar[int]
    UNREAD_CNT_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_ID_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_DATA_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_TYPE_FIELD_NUMBER: _ClassVar[int]
    LATEST_MSG_FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: int
    session_type: SessionType
    unread_cnt: int
    latest_msg_id: int
    latest_msg_data: bytes
    latest_msg_type: MsgType
    latest_msg_from_user_id: int
    def __init__(self, session_id: _Optional[int] = ..., session_type: _Optional[_Union[SessionType, str]] = ..., unread_cnt: _Optional[int] = ..., latest_msg_id: _Optional[int] = ..., latest_msg_data: _Optional[bytes] = ..., latest_msg_type: _Optional[_Union[MsgType, str]] = ..., latest_msg_from_user_id: _Optional[int] = ...) -> None: ...

class MsgInfo(_message.Message):
    __slots__ = ("msg_id", "from_session_id", "create_time", "msg_type", "msg_data")
    MSG_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MSG_TYPE_FIELD_NUMBER: _ClassVar[int]
    MSG_DATA_FIELD_NUMBER: _ClassVar[int]
    msg_id: int
    from_session_id: int
    create_time: int
    msg_type: MsgType
    msg_data: bytes
    def __init__(self, msg_id: _Optional[int] = ..., from_session_id: _Optional[int] = ..., create_time: _Optional[int] = ..., msg_type: _Optional[_Union[MsgType, str]] = ..., msg_data: _Optional[bytes] = ...) -> None: ...

class GroupVersionInfo(_message.Message):
    __slots__ = ("group_id", "version")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    version: int
    def __init__(self, group_id: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class GroupInfo(_message.Message):
    __slots__ = ("group_id", "version", "group_name", "group_avatar", "group_creator_id", "group_type", "shield_status", "group_member_list")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_AVATAR_FIELD_NUMBER: _ClassVar[int]
    GROUP_CREATOR_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    GROUP_MEMBER_LIST_FIELD_NUMBER: _ClassVar[int]
    group_id: int
    version: int
    group_name: str
    group_avatar: str
    group_creator_id: int
    group_type: GroupType
    shield_status: int
    group_member_list: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, group_id: _Optional[int] = ..., version: _Optional[int] = ..., group_name: _Optional[str] = ..., group_avatar: _Optional[str] = ..., group_creator_id: _Optional[int] = ..., group_type: _Optional[_Union[GroupType, str]] = ..., shield_status: _Optional[int] = ..., group_member_list: _Optional[_Iterable[int]] = ...) -> None: ...

class UserTokenInfo(_message.Message):
    __slots__ = ("user_id", "user_type", "token", "push_count", "push_type")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_TYPE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PUSH_COUNT_FIELD_NUMBER: _ClassVar[int]
    PUSH_TYPE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    user_type: ClientType
    token: str
    push_count: int
    push_type: int
    def __init__(self, user_id: _Optional[int] = ..., user_type: _Optional[_Union[ClientType, str]] = ..., token: _Optional[str] = ..., push_count: _Optional[int] = ..., push_type: _Optional[int] = ...) -> None: ...

class PushResult(_message.Message):
    __slots__ = ("user_token", "result_code")
    USER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESULT_CODE_FIELD_NUMBER: _ClassVar[int]
    user_token: str
    result_code: int
    def __init__(self, user_token: _Optional[str] = ..., result_code: _Optional[int] = ...) -> None: ...

class ShieldStatus(_message.Message):
    __slots__ = ("user_id", "group_id", "shield_status")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    group_id: int
    shield_status: int
    def __init__(self, user_id: _Optional[int] = ..., group_id: _Optional[int] = ..., shield_status: _Optional[int] = ...) -> None: ...

class OfflineFileInfo(_message.Message):
    __slots__ = ("from_user_id", "task_id", "file_name", "file_size")
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    from_user_id: int
    task_id: str
    file_name: str
    file_size: int
    def __init__(self, from_user_id: _Optional[int] = ..., task_id: _Optional[str] = ..., file_name: _Optional[str] = ..., file_size: _Optional[int] = ...) -> None: ...

class DepartInfo(_message.Message):
    __slots__ = ("dept_id", "priority", "dept_name", "parent_dept_id", "dept_status")
    DEPT_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEPT_NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_DEPT_ID_FIELD_NUMBER: _ClassVar[int]
    DEPT_STATUS_FIELD_NUMBER: _ClassVar[int]
    dept_id: int
    priority: int
    dept_name: str
    parent_dept_id: int
    dept_status: DepartmentStatusType
    def __init__(self, dept_id: _Optional[int] = ..., priority: _Optional[int] = ..., dept_name: _Optional[str] = ..., parent_dept_id: _Optional[int] = ..., dept_status: _Optional[_Union[DepartmentStatusType, str]] = ...) -> None: ...

class PushShieldStatus(_message.Message):
    __slots__ = ("user_id", "shield_status")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SHIELD_STATUS_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    shield_status: int
    def __init__(self, user_id: _Optional[int] = ..., shield_status: _Optional[int] = ...) -> None: ...
