"""Tests of a db_proxy_server through its protocol. Run them with pytest; ``--dbproxy-command`` chooses the program.

pytest examples
pytest examples --dbproxy-command /path/to/your/db_proxy_server
"""

import pytest

from dbproxy.testing import seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.waiting import eventually


@pytest.fixture
def people(dbproxy_stack, dbproxy_proxy):
    """Alice (1), bob (2) and carol (3), password 123456. ``dbproxy_proxy`` has emptied the stores before."""
    return seed.users(dbproxy_stack, "alice", "bob", "carol")


def test_a_password_is_checked(people, dbproxy_client):
    assert dbproxy_client.login("alice", "123456").result_code == 0
    assert dbproxy_client.login("alice", "wrong").result_code == 1


def test_a_message_is_numbered_stored_and_unread_until_it_is_read(people, dbproxy_stack, dbproxy_client):
    assert dbproxy_client.send_message(1, 2, "lunch?").msg_id == 1
    assert dbproxy_client.send_message(2, 1, "noon").msg_id == 2
    assert dbproxy_stack.rows("select fromId,content from IMMessage_1 order by msgId") == [
        {"fromId": 1, "content": "lunch?"},
        {"fromId": 2, "content": "noon"},
    ]
    unread = dbproxy_client.unread(2)
    assert [(info.session_id, info.unread_cnt, info.latest_msg_data) for info in unread.unreadinfo_list] == [(1, 1, b"noon")]
    dbproxy_client.read_ack(2, 1)
    # it is not answered, so its effect is waited for
    assert eventually(lambda: dbproxy_client.unread(2).total_cnt, 0) == 0


def test_a_history_is_read_page_by_page_newest_first(people, dbproxy_client):
    for number in range(1, 8):
        dbproxy_client.send_message(1, 2, f"message {number}")
    newest = dbproxy_client.messages(2, 1, msg_cnt=3)
    assert [message.msg_id for message in newest.msg_list] == [7, 6, 5]
    older = dbproxy_client.messages(2, 1, msg_id_begin=4, msg_cnt=3)
    assert [message.msg_id for message in older.msg_list] == [4, 3, 2]


def test_a_member_sees_what_a_group_has_sent(people, dbproxy_stack, dbproxy_client):
    seed.group(dbproxy_stack, 9, people)
    dbproxy_client.send_group_message(1, 9, "noon?")
    (info,) = dbproxy_client.unread(3).unreadinfo_list
    assert (info.session_id, info.session_type, info.unread_cnt) == (9, GROUP, 1)
    assert dbproxy_client.unread(1).total_cnt == 0
