-- TeamTalk's protocol for Wireshark: the header, and every message with its fields.
-- Made by scripts/generate_dissector from protos/; changes belong there.
--
-- To install: copy this file into the folder that Help > About Wireshark > Folders calls "Personal Lua Plugins"
-- (~/.local/lib/wireshark/plugins), and press Ctrl-Shift-L. Without installing: wireshark -X lua_script:teamtalk.lua

-- service id -> name
local SERVICES = {
    [1] = "SID_LOGIN",
    [2] = "SID_BUDDY_LIST",
    [3] = "SID_MSG",
    [4] = "SID_GROUP",
    [5] = "SID_FILE",
    [6] = "SID_SWITCH_SERVICE",
    [7] = "SID_OTHER",
    [8] = "SID_INTERNAL",
}

-- command id -> name
local COMMAND_NAMES = {
    [0x0101] = "CID_LOGIN_REQ_MSGSERVER",
    [0x0102] = "CID_LOGIN_RES_MSGSERVER",
    [0x0103] = "CID_LOGIN_REQ_USERLOGIN",
    [0x0104] = "CID_LOGIN_RES_USERLOGIN",
    [0x0105] = "CID_LOGIN_REQ_LOGINOUT",
    [0x0106] = "CID_LOGIN_RES_LOGINOUT",
    [0x0107] = "CID_LOGIN_KICK_USER",
    [0x0108] = "CID_LOGIN_REQ_DEVICETOKEN",
    [0x0109] = "CID_LOGIN_RES_DEVICETOKEN",
    [0x010a] = "CID_LOGIN_REQ_KICKPCCLIENT",
    [0x010b] = "CID_LOGIN_RES_KICKPCCLIENT",
    [0x010c] = "CID_LOGIN_REQ_PUSH_SHIELD",
    [0x010d] = "CID_LOGIN_RES_PUSH_SHIELD",
    [0x010e] = "CID_LOGIN_REQ_QUERY_PUSH_SHIELD",
    [0x010f] = "CID_LOGIN_RES_QUERY_PUSH_SHIELD",
    [0x0201] = "CID_BUDDY_LIST_RECENT_CONTACT_SESSION_REQUEST",
    [0x0202] = "CID_BUDDY_LIST_RECENT_CONTACT_SESSION_RESPONSE",
    [0x0203] = "CID_BUDDY_LIST_STATUS_NOTIFY",
    [0x0204] = "CID_BUDDY_LIST_USER_INFO_REQUEST",
    [0x0205] = "CID_BUDDY_LIST_USER_INFO_RESPONSE",
    [0x0206] = "CID_BUDDY_LIST_REMOVE_SESSION_REQ",
    [0x0207] = "CID_BUDDY_LIST_REMOVE_SESSION_RES",
    [0x0208] = "CID_BUDDY_LIST_ALL_USER_REQUEST",
    [0x0209] = "CID_BUDDY_LIST_ALL_USER_RESPONSE",
    [0x020a] = "CID_BUDDY_LIST_USERS_STATUS_REQUEST",
    [0x020b] = "CID_BUDDY_LIST_USERS_STATUS_RESPONSE",
    [0x020c] = "CID_BUDDY_LIST_CHANGE_AVATAR_REQUEST",
    [0x020d] = "CID_BUDDY_LIST_CHANGE_AVATAR_RESPONSE",
    [0x020e] = "CID_BUDDY_LIST_PC_LOGIN_STATUS_NOTIFY",
    [0x020f] = "CID_BUDDY_LIST_REMOVE_SESSION_NOTIFY",
    [0x0210] = "CID_BUDDY_LIST_DEPARTMENT_REQUEST",
    [0x0211] = "CID_BUDDY_LIST_DEPARTMENT_RESPONSE",
    [0x0212] = "CID_BUDDY_LIST_AVATAR_CHANGED_NOTIFY",
    [0x0213] = "CID_BUDDY_LIST_CHANGE_SIGN_INFO_REQUEST",
    [0x0214] = "CID_BUDDY_LIST_CHANGE_SIGN_INFO_RESPONSE",
    [0x0215] = "CID_BUDDY_LIST_SIGN_INFO_CHANGED_NOTIFY",
    [0x0301] = "CID_MSG_DATA",
    [0x0302] = "CID_MSG_DATA_ACK",
    [0x0303] = "CID_MSG_READ_ACK",
    [0x0304] = "CID_MSG_READ_NOTIFY",
    [0x0305] = "CID_MSG_TIME_REQUEST",
    [0x0306] = "CID_MSG_TIME_RESPONSE",
    [0x0307] = "CID_MSG_UNREAD_CNT_REQUEST",
    [0x0308] = "CID_MSG_UNREAD_CNT_RESPONSE",
    [0x0309] = "CID_MSG_LIST_REQUEST",
    [0x030a] = "CID_MSG_LIST_RESPONSE",
    [0x030b] = "CID_MSG_GET_LATEST_MSG_ID_REQ",
    [0x030c] = "CID_MSG_GET_LATEST_MSG_ID_RSP",
    [0x030d] = "CID_MSG_GET_BY_MSG_ID_REQ",
    [0x030e] = "CID_MSG_GET_BY_MSG_ID_RES",
    [0x0401] = "CID_GROUP_NORMAL_LIST_REQUEST",
    [0x0402] = "CID_GROUP_NORMAL_LIST_RESPONSE",
    [0x0403] = "CID_GROUP_INFO_REQUEST",
    [0x0404] = "CID_GROUP_INFO_RESPONSE",
    [0x0405] = "CID_GROUP_CREATE_REQUEST",
    [0x0406] = "CID_GROUP_CREATE_RESPONSE",
    [0x0407] = "CID_GROUP_CHANGE_MEMBER_REQUEST",
    [0x0408] = "CID_GROUP_CHANGE_MEMBER_RESPONSE",
    [0x0409] = "CID_GROUP_SHIELD_GROUP_REQUEST",
    [0x040a] = "CID_GROUP_SHIELD_GROUP_RESPONSE",
    [0x040b] = "CID_GROUP_CHANGE_MEMBER_NOTIFY",
    [0x0501] = "CID_FILE_LOGIN_REQ",
    [0x0502] = "CID_FILE_LOGIN_RES",
    [0x0503] = "CID_FILE_STATE",
    [0x0504] = "CID_FILE_PULL_DATA_REQ",
    [0x0505] = "CID_FILE_PULL_DATA_RSP",
    [0x0506] = "CID_FILE_REQUEST",
    [0x0507] = "CID_FILE_RESPONSE",
    [0x0508] = "CID_FILE_NOTIFY",
    [0x0509] = "CID_FILE_HAS_OFFLINE_REQ",
    [0x050a] = "CID_FILE_HAS_OFFLINE_RES",
    [0x050b] = "CID_FILE_ADD_OFFLINE_REQ",
    [0x050c] = "CID_FILE_DEL_OFFLINE_REQ",
    [0x0601] = "CID_SWITCH_P2P_CMD",
    [0x0701] = "CID_OTHER_HEARTBEAT",
    [0x0702] = "CID_OTHER_STOP_RECV_PACKET",
    [0x0703] = "CID_OTHER_VALIDATE_REQ",
    [0x0704] = "CID_OTHER_VALIDATE_RSP",
    [0x0705] = "CID_OTHER_GET_DEVICE_TOKEN_REQ",
    [0x0706] = "CID_OTHER_GET_DEVICE_TOKEN_RSP",
    [0x0707] = "CID_OTHER_ROLE_SET",
    [0x0708] = "CID_OTHER_ONLINE_USER_INFO",
    [0x0709] = "CID_OTHER_MSG_SERV_INFO",
    [0x070a] = "CID_OTHER_USER_STATUS_UPDATE",
    [0x070b] = "CID_OTHER_USER_CNT_UPDATE",
    [0x070d] = "CID_OTHER_SERVER_KICK_USER",
    [0x070e] = "CID_OTHER_LOGIN_STATUS_NOTIFY",
    [0x070f] = "CID_OTHER_PUSH_TO_USER_REQ",
    [0x0710] = "CID_OTHER_PUSH_TO_USER_RSP",
    [0x0711] = "CID_OTHER_GET_SHIELD_REQ",
    [0x0712] = "CID_OTHER_GET_SHIELD_RSP",
    [0x0731] = "CID_OTHER_FILE_TRANSFER_REQ",
    [0x0732] = "CID_OTHER_FILE_TRANSFER_RSP",
    [0x0733] = "CID_OTHER_FILE_SERVER_IP_REQ",
    [0x0734] = "CID_OTHER_FILE_SERVER_IP_RSP",
}

-- command id -> message
local COMMAND_MESSAGES = {
    [0x0101] = "IMMsgServReq",
    [0x0102] = "IMMsgServRsp",
    [0x0103] = "IMLoginReq",
    [0x0104] = "IMLoginRes",
    [0x0105] = "IMLogoutReq",
    [0x0106] = "IMLogoutRsp",
    [0x0107] = "IMKickUser",
    [0x0108] = "IMDeviceTokenReq",
    [0x0109] = "IMDeviceTokenRsp",
    [0x010a] = "IMKickPCClientReq",
    [0x010b] = "IMKickPCClientRsp",
    [0x010c] = "IMPushShieldReq",
    [0x010d] = "IMPushShieldRsp",
    [0x010e] = "IMQueryPushShieldReq",
    [0x010f] = "IMQueryPushShieldRsp",
    [0x0201] = "IMRecentContactSessionReq",
    [0x0202] = "IMRecentContactSessionRsp",
    [0x0203] = "IMUserStatNotify",
    [0x0204] = "IMUsersInfoReq",
    [0x0205] = "IMUsersInfoRsp",
    [0x0206] = "IMRemoveSessionReq",
    [0x0207] = "IMRemoveSessionRsp",
    [0x0208] = "IMAllUserReq",
    [0x0209] = "IMAllUserRsp",
    [0x020a] = "IMUsersStatReq",
    [0x020b] = "IMUsersStatRsp",
    [0x020c] = "IMChangeAvatarReq",
    [0x020d] = "IMChangeAvatarRsp",
    [0x020e] = "IMPCLoginStatusNotify",
    [0x020f] = "IMRemoveSessionNotify",
    [0x0210] = "IMDepartmentReq",
    [0x0211] = "IMDepartmentRsp",
    [0x0212] = "IMAvatarChangedNotify",
    [0x0213] = "IMChangeSignInfoReq",
    [0x0214] = "IMChangeSignInfoRsp",
    [0x0215] = "IMSignInfoChangedNotify",
    [0x0301] = "IMMsgData",
    [0x0302] = "IMMsgDataAck",
    [0x0303] = "IMMsgDataReadAck",
    [0x0304] = "IMMsgDataReadNotify",
    [0x0305] = "IMClientTimeReq",
    [0x0306] = "IMClientTimeRsp",
    [0x0307] = "IMUnreadMsgCntReq",
    [0x0308] = "IMUnreadMsgCntRsp",
    [0x0309] = "IMGetMsgListReq",
    [0x030a] = "IMGetMsgListRsp",
    [0x030b] = "IMGetLatestMsgIdReq",
    [0x030c] = "IMGetLatestMsgIdRsp",
    [0x030d] = "IMGetMsgByIdReq",
    [0x030e] = "IMGetMsgByIdRsp",
    [0x0401] = "IMNormalGroupListReq",
    [0x0402] = "IMNormalGroupListRsp",
    [0x0403] = "IMGroupInfoListReq",
    [0x0404] = "IMGroupInfoListRsp",
    [0x0405] = "IMGroupCreateReq",
    [0x0406] = "IMGroupCreateRsp",
    [0x0407] = "IMGroupChangeMemberReq",
    [0x0408] = "IMGroupChangeMemberRsp",
    [0x0409] = "IMGroupShieldReq",
    [0x040a] = "IMGroupShieldRsp",
    [0x040b] = "IMGroupChangeMemberNotify",
    [0x0501] = "IMFileLoginReq",
    [0x0502] = "IMFileLoginRsp",
    [0x0503] = "IMFileState",
    [0x0504] = "IMFilePullDataReq",
    [0x0505] = "IMFilePullDataRsp",
    [0x0506] = "IMFileReq",
    [0x0507] = "IMFileRsp",
    [0x0508] = "IMFileNotify",
    [0x0509] = "IMFileHasOfflineReq",
    [0x050a] = "IMFileHasOfflineRsp",
    [0x050b] = "IMFileAddOfflineReq",
    [0x050c] = "IMFileDelOfflineReq",
    [0x0601] = "IMP2PCmdMsg",
    [0x0701] = "IMHeartBeat",
    [0x0702] = "IMStopReceivePacket",
    [0x0703] = "IMValidateReq",
    [0x0704] = "IMValidateRsp",
    [0x0705] = "IMGetDeviceTokenReq",
    [0x0706] = "IMGetDeviceTokenRsp",
    [0x0707] = "IMRoleSet",
    [0x0708] = "IMOnlineUserInfo",
    [0x0709] = "IMMsgServInfo",
    [0x070a] = "IMUserStatusUpdate",
    [0x070b] = "IMUserCntUpdate",
    [0x070d] = "IMServerKickUser",
    [0x070e] = "IMServerPCLoginStatusNotify",
    [0x070f] = "IMPushToUserReq",
    [0x0710] = "IMPushToUserRsp",
    [0x0711] = "IMGroupGetShieldReq",
    [0x0712] = "IMGroupGetShieldRsp",
    [0x0731] = "IMFileTransferReq",
    [0x0732] = "IMFileTransferRsp",
    [0x0733] = "IMFileServerIPReq",
    [0x0734] = "IMFileServerIPRsp",
}

-- command id -> that of the answer
local REPLIES = {
    [0x0101] = 0x0102,
    [0x0103] = 0x0104,
    [0x0105] = 0x0106,
    [0x0108] = 0x0109,
    [0x010a] = 0x010b,
    [0x010c] = 0x010d,
    [0x010e] = 0x010f,
    [0x0201] = 0x0202,
    [0x0204] = 0x0205,
    [0x0206] = 0x0207,
    [0x0208] = 0x0209,
    [0x020a] = 0x020b,
    [0x020c] = 0x020d,
    [0x0210] = 0x0211,
    [0x0213] = 0x0214,
    [0x0301] = 0x0302,
    [0x0305] = 0x0306,
    [0x0307] = 0x0308,
    [0x0309] = 0x030a,
    [0x030b] = 0x030c,
    [0x030d] = 0x030e,
    [0x0401] = 0x0402,
    [0x0403] = 0x0404,
    [0x0405] = 0x0406,
    [0x0407] = 0x0408,
    [0x0409] = 0x040a,
    [0x0501] = 0x0502,
    [0x0504] = 0x0505,
    [0x0506] = 0x0507,
    [0x0509] = 0x050a,
    [0x0703] = 0x0704,
    [0x0705] = 0x0706,
    [0x070f] = 0x0710,
    [0x0711] = 0x0712,
    [0x0731] = 0x0732,
    [0x0733] = 0x0734,
}

-- a proxy answers a message with itself, a message server acknowledges it
local ALIASES = {
    [0x0301] = 0x0302,
}

-- enum -> value -> name
local ENUMS = {
    ClientFileRole = { [1] = "CLIENT_REALTIME_SENDER", [2] = "CLIENT_REALTIME_RECVER", [3] = "CLIENT_OFFLINE_UPLOAD", [4] = "CLIENT_OFFLINE_DOWNLOAD" },
    ClientFileState = { [0] = "CLIENT_FILE_PEER_READY", [1] = "CLIENT_FILE_CANCEL", [2] = "CLIENT_FILE_REFUSE", [3] = "CLIENT_FILE_DONE" },
    ClientType = { [1] = "CLIENT_TYPE_WINDOWS", [2] = "CLIENT_TYPE_MAC", [17] = "CLIENT_TYPE_IOS", [18] = "CLIENT_TYPE_ANDROID" },
    DepartmentStatusType = { [0] = "DEPT_STATUS_OK", [1] = "DEPT_STATUS_DELETE" },
    GroupModifyType = { [1] = "GROUP_MODIFY_TYPE_ADD", [2] = "GROUP_MODIFY_TYPE_DEL" },
    GroupType = { [1] = "GROUP_TYPE_NORMAL", [2] = "GROUP_TYPE_TMP" },
    KickReasonType = { [1] = "KICK_REASON_DUPLICATE_USER", [2] = "KICK_REASON_MOBILE_KICK" },
    MsgType = { [1] = "MSG_TYPE_SINGLE_TEXT", [2] = "MSG_TYPE_SINGLE_AUDIO", [17] = "MSG_TYPE_GROUP_TEXT", [18] = "MSG_TYPE_GROUP_AUDIO" },
    ResultType = { [0] = "REFUSE_REASON_NONE", [1] = "REFUSE_REASON_NO_MSG_SERVER", [2] = "REFUSE_REASON_MSG_SERVER_FULL", [3] = "REFUSE_REASON_NO_DB_SERVER", [4] = "REFUSE_REASON_NO_LOGIN_SERVER", [5] = "REFUSE_REASON_NO_ROUTE_SERVER", [6] = "REFUSE_REASON_DB_VALIDATE_FAILED", [7] = "REFUSE_REASON_VERSION_TOO_OLD" },
    SessionStatusType = { [0] = "SESSION_STATUS_OK", [1] = "SESSION_STATUS_DELETE" },
    SessionType = { [1] = "SESSION_TYPE_SINGLE", [2] = "SESSION_TYPE_GROUP" },
    TransferFileType = { [1] = "FILE_TYPE_ONLINE", [2] = "FILE_TYPE_OFFLINE" },
    UserStatType = { [1] = "USER_STATUS_ONLINE", [2] = "USER_STATUS_OFFLINE", [3] = "USER_STATUS_LEAVE" },
}

-- message -> number of the field -> field
local MESSAGES = {
    ContactSessionInfo = { [1] = { name = "session_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_status", enum = "SessionStatusType" }, [4] = { name = "updated_time", type = "uint32" }, [5] = { name = "latest_msg_id", type = "uint32" }, [6] = { name = "latest_msg_data", type = "bytes" }, [7] = { name = "latest_msg_type", enum = "MsgType" }, [8] = { name = "latest_msg_from_user_id", type = "uint32" } },
    DepartInfo = { [1] = { name = "dept_id", type = "uint32" }, [2] = { name = "priority", type = "uint32" }, [3] = { name = "dept_name", type = "string" }, [4] = { name = "parent_dept_id", type = "uint32" }, [5] = { name = "dept_status", enum = "DepartmentStatusType" } },
    GroupInfo = { [1] = { name = "group_id", type = "uint32" }, [2] = { name = "version", type = "uint32" }, [3] = { name = "group_name", type = "string" }, [4] = { name = "group_avatar", type = "string" }, [5] = { name = "group_creator_id", type = "uint32" }, [6] = { name = "group_type", enum = "GroupType" }, [7] = { name = "shield_status", type = "uint32" }, [8] = { name = "group_member_list", type = "uint32" } },
    GroupVersionInfo = { [1] = { name = "group_id", type = "uint32" }, [2] = { name = "version", type = "uint32" } },
    IMAllUserReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "latest_update_time", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMAllUserRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "latest_update_time", type = "uint32" }, [3] = { name = "user_list", message = "UserInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMAvatarChangedNotify = { [1] = { name = "changed_user_id", type = "uint32" }, [2] = { name = "avatar_url", type = "string" } },
    IMChangeAvatarReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "avatar_url", type = "string" }, [20] = { name = "attach_data", type = "bytes" } },
    IMChangeAvatarRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMChangeSignInfoReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "sign_info", type = "string" }, [20] = { name = "attach_data", type = "bytes" } },
    IMChangeSignInfoRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "sign_info", type = "string" }, [20] = { name = "attach_data", type = "bytes" } },
    IMClientTimeReq = {  },
    IMClientTimeRsp = { [1] = { name = "server_time", type = "uint32" } },
    IMDepartmentReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "latest_update_time", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMDepartmentRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "latest_update_time", type = "uint32" }, [3] = { name = "dept_list", message = "DepartInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMDeviceTokenReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "device_token", type = "string" }, [3] = { name = "client_type", enum = "ClientType" }, [20] = { name = "attach_data", type = "bytes" } },
    IMDeviceTokenRsp = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMFileAddOfflineReq = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "task_id", type = "string" }, [4] = { name = "file_name", type = "string" }, [5] = { name = "file_size", type = "uint32" } },
    IMFileDelOfflineReq = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "task_id", type = "string" } },
    IMFileHasOfflineReq = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMFileHasOfflineRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "offline_file_list", message = "OfflineFileInfo" }, [3] = { name = "ip_addr_list", message = "IpAddr" }, [20] = { name = "attach_data", type = "bytes" } },
    IMFileLoginReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "task_id", type = "string" }, [3] = { name = "file_role", enum = "ClientFileRole" } },
    IMFileLoginRsp = { [1] = { name = "result_code", type = "uint32" }, [2] = { name = "task_id", type = "string" } },
    IMFileNotify = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "file_name", type = "string" }, [4] = { name = "file_size", type = "uint32" }, [5] = { name = "task_id", type = "string" }, [6] = { name = "ip_addr_list", message = "IpAddr" }, [7] = { name = "trans_mode", enum = "TransferFileType" }, [8] = { name = "offline_ready", type = "uint32" } },
    IMFilePullDataReq = { [1] = { name = "task_id", type = "string" }, [2] = { name = "user_id", type = "uint32" }, [3] = { name = "trans_mode", enum = "TransferFileType" }, [4] = { name = "offset", type = "uint32" }, [5] = { name = "data_size", type = "uint32" } },
    IMFilePullDataRsp = { [1] = { name = "result_code", type = "uint32" }, [2] = { name = "task_id", type = "string" }, [3] = { name = "user_id", type = "uint32" }, [4] = { name = "offset", type = "uint32" }, [5] = { name = "file_data", type = "bytes" } },
    IMFileReq = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "file_name", type = "string" }, [4] = { name = "file_size", type = "uint32" }, [5] = { name = "trans_mode", enum = "TransferFileType" } },
    IMFileRsp = { [1] = { name = "result_code", type = "uint32" }, [2] = { name = "from_user_id", type = "uint32" }, [3] = { name = "to_user_id", type = "uint32" }, [4] = { name = "file_name", type = "string" }, [5] = { name = "task_id", type = "string" }, [6] = { name = "ip_addr_list", message = "IpAddr" }, [7] = { name = "trans_mode", enum = "TransferFileType" } },
    IMFileServerIPReq = {  },
    IMFileServerIPRsp = { [1] = { name = "ip_addr_list", message = "IpAddr" } },
    IMFileState = { [1] = { name = "state", enum = "ClientFileState" }, [2] = { name = "task_id", type = "string" }, [3] = { name = "user_id", type = "uint32" } },
    IMFileTransferReq = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "file_name", type = "string" }, [4] = { name = "file_size", type = "uint32" }, [5] = { name = "trans_mode", enum = "TransferFileType" }, [20] = { name = "attach_data", type = "bytes" } },
    IMFileTransferRsp = { [1] = { name = "result_code", type = "uint32" }, [2] = { name = "from_user_id", type = "uint32" }, [3] = { name = "to_user_id", type = "uint32" }, [4] = { name = "file_name", type = "string" }, [5] = { name = "file_size", type = "uint32" }, [6] = { name = "task_id", type = "string" }, [7] = { name = "trans_mode", enum = "TransferFileType" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetDeviceTokenReq = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetDeviceTokenRsp = { [1] = { name = "user_token_info", message = "UserTokenInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetLatestMsgIdReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetLatestMsgIdRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [4] = { name = "latest_msg_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetMsgByIdReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [4] = { name = "msg_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetMsgByIdRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [4] = { name = "msg_list", message = "MsgInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetMsgListReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [4] = { name = "msg_id_begin", type = "uint32" }, [5] = { name = "msg_cnt", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGetMsgListRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [4] = { name = "msg_id_begin", type = "uint32" }, [5] = { name = "msg_list", message = "MsgInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupChangeMemberNotify = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "change_type", enum = "GroupModifyType" }, [3] = { name = "group_id", type = "uint32" }, [4] = { name = "cur_user_id_list", type = "uint32" }, [5] = { name = "chg_user_id_list", type = "uint32" } },
    IMGroupChangeMemberReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "change_type", enum = "GroupModifyType" }, [3] = { name = "group_id", type = "uint32" }, [4] = { name = "member_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupChangeMemberRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "change_type", enum = "GroupModifyType" }, [3] = { name = "result_code", type = "uint32" }, [4] = { name = "group_id", type = "uint32" }, [5] = { name = "cur_user_id_list", type = "uint32" }, [6] = { name = "chg_user_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupCreateReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_type", enum = "GroupType" }, [3] = { name = "group_name", type = "string" }, [4] = { name = "group_avatar", type = "string" }, [5] = { name = "member_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupCreateRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "group_id", type = "uint32" }, [4] = { name = "group_name", type = "string" }, [5] = { name = "user_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupGetShieldReq = { [1] = { name = "group_id", type = "uint32" }, [2] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupGetShieldRsp = { [1] = { name = "group_id", type = "uint32" }, [2] = { name = "shield_status_list", message = "ShieldStatus" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupInfoListReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_version_list", message = "GroupVersionInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupInfoListRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_info_list", message = "GroupInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupShieldReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_id", type = "uint32" }, [3] = { name = "shield_status", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMGroupShieldRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_id", type = "uint32" }, [3] = { name = "result_code", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMHeartBeat = {  },
    IMKickPCClientReq = { [1] = { name = "user_id", type = "uint32" } },
    IMKickPCClientRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" } },
    IMKickUser = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "kick_reason", enum = "KickReasonType" } },
    IMLoginReq = { [1] = { name = "user_name", type = "string" }, [2] = { name = "password", type = "string" }, [3] = { name = "online_status", enum = "UserStatType" }, [4] = { name = "client_type", enum = "ClientType" }, [5] = { name = "client_version", type = "string" } },
    IMLoginRes = { [1] = { name = "server_time", type = "uint32" }, [2] = { name = "result_code", enum = "ResultType" }, [3] = { name = "result_string", type = "string" }, [4] = { name = "online_status", enum = "UserStatType" }, [5] = { name = "user_info", message = "UserInfo" } },
    IMLogoutReq = {  },
    IMLogoutRsp = { [1] = { name = "result_code", type = "uint32" } },
    IMMsgData = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_session_id", type = "uint32" }, [3] = { name = "msg_id", type = "uint32" }, [4] = { name = "create_time", type = "uint32" }, [5] = { name = "msg_type", enum = "MsgType" }, [6] = { name = "msg_data", type = "bytes" }, [20] = { name = "attach_data", type = "bytes" } },
    IMMsgDataAck = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_id", type = "uint32" }, [3] = { name = "msg_id", type = "uint32" }, [4] = { name = "session_type", enum = "SessionType" } },
    IMMsgDataReadAck = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_id", type = "uint32" }, [3] = { name = "msg_id", type = "uint32" }, [4] = { name = "session_type", enum = "SessionType" } },
    IMMsgDataReadNotify = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_id", type = "uint32" }, [3] = { name = "msg_id", type = "uint32" }, [4] = { name = "session_type", enum = "SessionType" } },
    IMMsgServInfo = { [1] = { name = "ip1", type = "string" }, [2] = { name = "ip2", type = "string" }, [3] = { name = "port", type = "uint32" }, [4] = { name = "max_conn_cnt", type = "uint32" }, [5] = { name = "cur_conn_cnt", type = "uint32" }, [6] = { name = "host_name", type = "string" } },
    IMMsgServReq = {  },
    IMMsgServRsp = { [1] = { name = "result_code", enum = "ResultType" }, [2] = { name = "prior_ip", type = "string" }, [3] = { name = "backip_ip", type = "string" }, [4] = { name = "port", type = "uint32" } },
    IMNormalGroupListReq = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMNormalGroupListRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_version_list", message = "GroupVersionInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMOnlineUserInfo = { [1] = { name = "user_stat_list", message = "ServerUserStat" } },
    IMP2PCmdMsg = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "to_user_id", type = "uint32" }, [3] = { name = "cmd_msg_data", type = "string" } },
    IMPCLoginStatusNotify = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "login_stat", enum = "UserStatType" } },
    IMPushShieldReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "shield_status", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMPushShieldRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "shield_status", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMPushToUserReq = { [1] = { name = "flash", type = "string" }, [2] = { name = "data", type = "string" }, [3] = { name = "user_token_list", message = "UserTokenInfo" } },
    IMPushToUserRsp = { [1] = { name = "push_result_list", message = "PushResult" } },
    IMQueryPushShieldReq = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMQueryPushShieldRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "shield_status", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMRecentContactSessionReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "latest_update_time", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMRecentContactSessionRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "contact_session_list", message = "ContactSessionInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMRemoveSessionNotify = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" } },
    IMRemoveSessionReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "session_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMRemoveSessionRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "session_type", enum = "SessionType" }, [4] = { name = "session_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMRoleSet = { [1] = { name = "master", type = "uint32" } },
    IMServerKickUser = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "client_type", enum = "ClientType" }, [3] = { name = "reason", type = "uint32" } },
    IMServerPCLoginStatusNotify = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "login_status", type = "uint32" } },
    IMSignInfoChangedNotify = { [1] = { name = "changed_user_id", type = "uint32" }, [2] = { name = "sign_info", type = "string" } },
    IMStopReceivePacket = { [1] = { name = "result", type = "uint32" } },
    IMUnreadMsgCntReq = { [1] = { name = "user_id", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMUnreadMsgCntRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "total_cnt", type = "uint32" }, [3] = { name = "unreadinfo_list", message = "UnreadInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMUserCntUpdate = { [1] = { name = "user_action", type = "uint32" }, [2] = { name = "user_id", type = "uint32" } },
    IMUserStatNotify = { [1] = { name = "user_stat", message = "UserStat" } },
    IMUserStatusUpdate = { [1] = { name = "user_status", type = "uint32" }, [2] = { name = "user_id", type = "uint32" }, [3] = { name = "client_type", enum = "ClientType" } },
    IMUsersInfoReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMUsersInfoRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_info_list", message = "UserInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IMUsersStatReq = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_id_list", type = "uint32" }, [20] = { name = "attach_data", type = "bytes" } },
    IMUsersStatRsp = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_stat_list", message = "UserStat" }, [20] = { name = "attach_data", type = "bytes" } },
    IMValidateReq = { [1] = { name = "user_name", type = "string" }, [2] = { name = "password", type = "string" }, [20] = { name = "attach_data", type = "bytes" } },
    IMValidateRsp = { [1] = { name = "user_name", type = "string" }, [2] = { name = "result_code", type = "uint32" }, [3] = { name = "result_string", type = "string" }, [4] = { name = "user_info", message = "UserInfo" }, [20] = { name = "attach_data", type = "bytes" } },
    IpAddr = { [1] = { name = "ip", type = "string" }, [2] = { name = "port", type = "uint32" } },
    MsgInfo = { [1] = { name = "msg_id", type = "uint32" }, [2] = { name = "from_session_id", type = "uint32" }, [3] = { name = "create_time", type = "uint32" }, [4] = { name = "msg_type", enum = "MsgType" }, [5] = { name = "msg_data", type = "bytes" } },
    OfflineFileInfo = { [1] = { name = "from_user_id", type = "uint32" }, [2] = { name = "task_id", type = "string" }, [3] = { name = "file_name", type = "string" }, [4] = { name = "file_size", type = "uint32" } },
    PushResult = { [1] = { name = "user_token", type = "string" }, [2] = { name = "result_code", type = "uint32" } },
    ServerUserStat = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "status", enum = "UserStatType" }, [3] = { name = "client_type", enum = "ClientType" } },
    ShieldStatus = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "group_id", type = "uint32" }, [3] = { name = "shield_status", type = "uint32" } },
    UnreadInfo = { [1] = { name = "session_id", type = "uint32" }, [2] = { name = "session_type", enum = "SessionType" }, [3] = { name = "unread_cnt", type = "uint32" }, [4] = { name = "latest_msg_id", type = "uint32" }, [5] = { name = "latest_msg_data", type = "bytes" }, [6] = { name = "latest_msg_type", enum = "MsgType" }, [7] = { name = "latest_msg_from_user_id", type = "uint32" } },
    UserInfo = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_gender", type = "uint32" }, [3] = { name = "user_nick_name", type = "string" }, [4] = { name = "avatar_url", type = "string" }, [5] = { name = "department_id", type = "uint32" }, [6] = { name = "email", type = "string" }, [7] = { name = "user_real_name", type = "string" }, [8] = { name = "user_tel", type = "string" }, [9] = { name = "user_domain", type = "string" }, [10] = { name = "status", type = "uint32" }, [11] = { name = "sign_info", type = "string" } },
    UserStat = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "status", enum = "UserStatType" } },
    UserTokenInfo = { [1] = { name = "user_id", type = "uint32" }, [2] = { name = "user_type", enum = "ClientType" }, [3] = { name = "token", type = "string" }, [4] = { name = "push_count", type = "uint32" }, [5] = { name = "push_type", type = "uint32" } },
}


local HEADER_LENGTH = 16
local MAX_LENGTH = 64 * 1024 * 1024

local teamtalk = Proto("teamtalk", "TeamTalk")

local fields = {
    length = ProtoField.uint32("teamtalk.length", "Length", base.DEC, nil, nil, "Bytes, the header included"),
    version = ProtoField.uint16("teamtalk.version", "Version"),
    flag = ProtoField.uint16("teamtalk.flag", "Flag"),
    service = ProtoField.uint16("teamtalk.service", "Service", base.HEX, SERVICES),
    command = ProtoField.uint16("teamtalk.command", "Command", base.HEX, COMMAND_NAMES),
    seq = ProtoField.uint16("teamtalk.seq", "Sequence number"),
    reserved = ProtoField.uint16("teamtalk.reserved", "Reserved"),
    message = ProtoField.string("teamtalk.message", "Message"),
    unknown = ProtoField.bytes("teamtalk.unknown", "Field that the protocol does not have"),
    answer_in = ProtoField.framenum("teamtalk.answer_in", "Answered in", base.NONE, frametype.RESPONSE),
    answer_to = ProtoField.framenum("teamtalk.answer_to", "Answer to", base.NONE, frametype.REQUEST),
    time = ProtoField.double("teamtalk.time", "Seconds since the request"),
}

local expert_malformed = ProtoExpert.new("teamtalk.malformed", "The body does not parse", expert.group.MALFORMED, expert.severity.ERROR)
local expert_unknown = ProtoExpert.new("teamtalk.unknown_command", "The protocol has no such command", expert.group.UNDECODED,
    expert.severity.WARN)
teamtalk.experts = { expert_malformed, expert_unknown }

-- one field of Wireshark for each field of each message: teamtalk.IMMsgData.from_user_id
local message_fields = {}
local all_fields = {}
for _, field in pairs(fields) do
    all_fields[#all_fields + 1] = field
end
for message, description in pairs(MESSAGES) do
    message_fields[message] = {}
    for number, field in pairs(description) do
        local name = "teamtalk." .. message .. "." .. field.name
        local made
        if field.enum then
            made = ProtoField.uint32(name, field.name, base.DEC, ENUMS[field.enum])
        elseif field.type == "uint32" then
            made = ProtoField.uint32(name, field.name)
        elseif field.type == "bytes" then
            made = ProtoField.bytes(name, field.name)
        else
            made = ProtoField.string(name, field.name)
        end
        message_fields[message][number] = made
        all_fields[#all_fields + 1] = made
    end
end
teamtalk.fields = all_fields

teamtalk.prefs.ports = Pref.range("TCP ports", "8000,8008,8100,8200,8600,10600",
    "Ports on which nothing but this protocol is spoken; on others it is recognized by its headers", 65535)

-- stream and direction -> command and sequence number -> { frame, time } of a request without an answer yet
local waiting = {}
-- frame and offset in it -> the frame of the other one, and seconds
local answer_in, answer_to = {}, {}

local stream_of = Field.new("tcp.stream")

function teamtalk.init()
    waiting, answer_in, answer_to = {}, {}, {}
end

-- Return the value of the varint at an offset and the offset behind it; nil if it is cut off. What does not fit into 53 bits is not exact,
-- which no field of the protocol needs.
local function varint(tvb, offset)
    local value, factor = 0, 1
    for index = offset, math.min(offset + 9, tvb:len() - 1) do
        local byte = tvb(index, 1):uint()
        value = value + (byte % 128) * factor
        if byte < 128 then
            return value, index + 1
        end
        factor = factor * 128
    end
    return nil
end

local dissect_message

-- Add one field to the tree and return the offset behind it; nil if the body does not parse.
local function dissect_field(tvb, offset, tree, message)
    local start = offset
    local key
    key, offset = varint(tvb, offset)
    if not key then
        return nil
    end
    local number, wire_type = math.floor(key / 8), key % 8
    local field = MESSAGES[message][number]
    local value, behind
    if wire_type == 0 then
        value, behind = varint(tvb, offset)
    elseif wire_type == 2 then
        value, offset = varint(tvb, offset)
        behind = value and offset + value
    elseif wire_type == 1 or wire_type == 5 then
        behind = offset + (wire_type == 1 and 8 or 4)
    end
    if not behind or behind > tvb:len() then
        return nil
    end
    local whole = tvb(start, behind - start)
    local shown = field and message_fields[message][number]
    if wire_type == 0 and shown and (field.type == "uint32" or field.enum) then
        tree:add(shown, whole, value % 4294967296)
    elseif wire_type == 2 and shown and field.message then
        local child = tree:add(shown, whole, field.message)
        if value > 0 and not dissect_message(tvb(offset, value):tvb(), child, field.message) then
            return nil
        end
    elseif wire_type == 2 and shown and field.type == "string" then
        tree:add(shown, whole, value > 0 and tvb(offset, value):string(ENC_UTF_8) or "")
    elseif wire_type == 2 and shown and field.type == "bytes" then
        if value > 0 then
            tree:add(shown, tvb(offset, value))
        else
            tree:add(whole, field.name .. ": empty")
        end
    elseif wire_type == 2 and shown and field.type == "uint32" then -- a packed list
        local position = offset
        while position < behind do
            local item
            item, position = varint(tvb, position)
            if not item then
                return nil
            end
            tree:add(shown, whole, item % 4294967296)
        end
    else
        tree:add(fields.unknown, whole)
    end
    return behind
end

-- Add the fields of a message to the tree; false if it does not parse.
function dissect_message(tvb, tree, message)
    local offset = 0
    while offset < tvb:len() do
        offset = dissect_field(tvb, offset, tree, message)
        if not offset then
            return false
        end
    end
    return true
end

local function other_way(stream, pinfo)
    return stream .. ">" .. pinfo.src_port
end

-- Return the encoding of a body's first field, if it is the field 1 and a short one: in requests and answers of most commands it is the
-- user.
local function first_field(tvb)
    if tvb:len() <= HEADER_LENGTH + 1 then
        return ""
    end
    local tag = tvb(HEADER_LENGTH, 1):uint()
    if tag == 8 then
        local _, behind = varint(tvb, HEADER_LENGTH + 1)
        return behind and tostring(tvb(HEADER_LENGTH, behind - HEADER_LENGTH):bytes()) or ""
    end
    local length = tvb(HEADER_LENGTH + 1, 1):uint()
    if tag == 10 and length < 128 and HEADER_LENGTH + 2 + length <= tvb:len() then
        return tostring(tvb(HEADER_LENGTH, 2 + length):bytes())
    end
    return ""
end

-- Return the value of a field of the body that is a number; nil if it is not there.
local function number_in(tvb, wanted)
    local offset = HEADER_LENGTH
    while offset < tvb:len() do
        local key, value
        key, offset = varint(tvb, offset)
        if not key then
            return nil
        end
        value, offset = varint(tvb, offset)
        if not value then
            return nil
        end
        if key == wanted * 8 then
            return value
        end
        if key % 8 == 2 then
            offset = offset + value
        elseif key % 8 ~= 0 then
            return nil
        end
    end
    return nil
end

local MSG_DATA, MSG_ID = 0x0301, 3

-- Whether a PDU is a request. A message that has an id is the copy that acknowledges one, or one for a client.
local function asks(command, tvb)
    return REPLIES[command] and not (command == MSG_DATA and (number_in(tvb, MSG_ID) or 0) > 0)
end

-- Remember a request, or find the one that is answered. A message server passes the sequence numbers of its clients on, so several requests
-- may have the same: among them it is the oldest that begins with the same field, or else the oldest.
local function match(tvb, pinfo, command, seq, offset)
    local stream = stream_of()
    if not stream then
        return
    end
    stream = tostring(stream)
    local here, now, first = pinfo.number .. ":" .. offset, pinfo.abs_ts, first_field(tvb)
    local asked = waiting[stream .. ">" .. pinfo.dst_port]
    local key = (ALIASES[command] or command) .. ":" .. seq
    local requests = asked and asked[key]
    if requests and #requests > 0 then
        local place = 1
        for index, request in ipairs(requests) do
            if request.first == first then
                place = index
                break
            end
        end
        local request = table.remove(requests, place)
        answer_to[here] = { frame = request.frame, time = now - request.time }
        answer_in[request.here] = pinfo.number
        return
    end
    if asks(command, tvb) then
        local way, reply = other_way(stream, pinfo), REPLIES[command]
        waiting[way] = waiting[way] or {}
        local reply_key = (ALIASES[reply] or reply) .. ":" .. seq
        waiting[way][reply_key] = waiting[way][reply_key] or {}
        table.insert(waiting[way][reply_key], { frame = pinfo.number, here = here, time = now, first = first })
    end
end

local function dissect_pdu(tvb, pinfo, tree)
    local command, seq = tvb(10, 2):uint(), tvb(12, 2):uint()
    local name = COMMAND_NAMES[command] or string.format("0x%04x", command)
    local message = COMMAND_MESSAGES[command]
    pinfo.cols.protocol = "TeamTalk"
    pinfo.cols.info:append((tostring(pinfo.cols.info) ~= "" and ", " or "") .. name .. " seq=" .. seq)
    pinfo.cols.info:fence()
    local offset = tvb:offset()
    if not pinfo.visited then
        match(tvb, pinfo, command, seq, offset)
    end
    local top = tree:add(teamtalk, tvb(), "TeamTalk, " .. name .. ", sequence number " .. seq)
    top:add(fields.length, tvb(0, 4))
    top:add(fields.version, tvb(4, 2))
    top:add(fields.flag, tvb(6, 2))
    top:add(fields.service, tvb(8, 2))
    local command_item = top:add(fields.command, tvb(10, 2))
    top:add(fields.seq, tvb(12, 2))
    top:add(fields.reserved, tvb(14, 2))
    local here = pinfo.number .. ":" .. offset
    if answer_in[here] then
        top:add(fields.answer_in, answer_in[here]):set_generated()
    end
    if answer_to[here] then
        top:add(fields.answer_to, answer_to[here].frame):set_generated()
        top:add(fields.time, answer_to[here].time):set_generated()
    end
    if not message then
        command_item:add_proto_expert_info(expert_unknown)
    elseif tvb:len() > HEADER_LENGTH then
        local body = tvb(HEADER_LENGTH)
        local item = top:add(fields.message, body, message)
        if not dissect_message(body:tvb(), item, message) then
            item:add_proto_expert_info(expert_malformed)
        end
    else
        top:add(fields.message, tvb(HEADER_LENGTH - 1, 0), message)
    end
    return tvb:len()
end

local function pdu_length(tvb, _, offset)
    return math.max(HEADER_LENGTH, tvb(offset, 4):uint())
end

function teamtalk.dissector(tvb, pinfo, tree)
    pinfo.cols.info:clear()
    dissect_tcp_pdus(tvb, tree, HEADER_LENGTH, pdu_length, dissect_pdu)
    return tvb:len()
end

-- Whether a segment looks like the beginning of a PDU.
local function recognize(tvb, pinfo, tree)
    if tvb:len() < HEADER_LENGTH then
        return false
    end
    local length, version, command = tvb(0, 4):uint(), tvb(4, 2):uint(), tvb(10, 2):uint()
    if length < HEADER_LENGTH or length > MAX_LENGTH or version > 16 or not COMMAND_NAMES[command]
        or tvb(8, 2):uint() ~= math.floor(command / 256) then
        return false
    end
    pinfo.conversation = teamtalk
    teamtalk.dissector(tvb, pinfo, tree)
    return true
end

local used = teamtalk.prefs.ports
DissectorTable.get("tcp.port"):add(used, teamtalk)
function teamtalk.prefs_changed()
    if used ~= teamtalk.prefs.ports then
        DissectorTable.get("tcp.port"):remove(used, teamtalk)
        used = teamtalk.prefs.ports
        DissectorTable.get("tcp.port"):add(used, teamtalk)
    end
end
teamtalk:register_heuristic("tcp", recognize)
