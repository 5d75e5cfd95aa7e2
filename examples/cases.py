"""Cases for ``dbproxy-conformance record``: what a program does with them becomes what others are compared with.

dbproxy-conformance record examples/cases.py --output mine.json
dbproxy-conformance --cases mine.json --only mine --command /path/to/your/db_proxy_server
"""

from dbproxy.conformance.cases import case, step
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2, message_pb2

DEPARTMENTS = [
    {"departName": "Sales", "priority": 1, "parentId": 0, "status": 0, "created": 1700000000, "updated": 1700000001},
    {"departName": "研发", "priority": 2, "parentId": 1, "status": 0, "created": 1700000000, "updated": 1700000002},
]


def text(sender: int, receiver: int, words: str) -> message_pb2.IMMsgData:
    """A message to a user."""
    return message_pb2.IMMsgData(
        from_user_id=sender,
        to_session_id=receiver,
        msg_id=0,
        create_time=1700000100,
        msg_type=base.MSG_TYPE_SINGLE_TEXT,
        msg_data=words.encode(),
    )


CASES = [
    case(
        "mine_departments_that_changed",
        step(buddy_pb2.IMDepartmentReq(user_id=1, latest_update_time=1700000001)),
        tables={"IMDepart": DEPARTMENTS},
        topic="mine",
    ),
    case(
        "mine_a_conversation",
        step(text(1, 2, "午饭?")),
        step(text(2, 1, "12 点")),
        step(message_pb2.IMUnreadMsgCntReq(user_id=2)),
        step(message_pb2.IMMsgDataReadAck(user_id=2, session_id=1, msg_id=1, session_type=base.SESSION_TYPE_SINGLE)),
        step(message_pb2.IMUnreadMsgCntReq(user_id=2)),
        topic="mine",
    ),
]
