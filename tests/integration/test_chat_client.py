"""ChatClient at a msg_server: what it sends, what it gets unasked, and what it says when something is wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from message_servers import MessageServers

from dbproxy.testing import InProcessProxy, Stack
from dbproxy.testing.chat_client import MESSAGES_PER_SECOND, ChatClient, KickedError, LoginRefusedError
from dbproxy.testing.chat_requests import GROUP
from dbproxy.testing.client import ConnectionClosedError
from dbproxy.testing.login_server import LoginServerError, find_msg_server
from dbproxy.testing.pdu_stream import ProtocolError
from dbproxy.testing.process import free_port
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import group_pb2, login_pb2, message_pb2

pytestmark = pytest.mark.data(users=["alice", "bob"])


@pytest.fixture
def servers(dbproxy_proxy: InProcessProxy, stack: Stack) -> Iterator[MessageServers]:
    with MessageServers(dbproxy_proxy.port) as running:
        yield running


class Users:
    """Clients of the users alice (1) and bob (2); what is opened here is closed at the end."""

    def __init__(self, servers: MessageServers, exits: ExitStack) -> None:
        self._servers, self._exits = servers, exits
        self.alice = self.login("alice")
        self.bob = self.login("bob")

    def login(self, name: str, client_type: base.ClientType = base.CLIENT_TYPE_WINDOWS, *, limit_rate: bool = True) -> ChatClient:
        client = self._exits.enter_context(ChatClient("127.0.0.1", self._servers.port, limit_rate=limit_rate))
        client.login(name, "123456", client_type=client_type)
        return client


@pytest.fixture
def users(servers: MessageServers) -> Iterator[Users]:
    with ExitStack() as exits:
        yield Users(servers, exits)


def test_the_login_server_is_asked_by_http_and_by_its_own_protocol(servers: MessageServers) -> None:
    by_http = find_msg_server(servers.login_url)
    assert (by_http.hosts, by_http.port) == (("127.0.0.1",), servers.port)
    assert find_msg_server(f"tcp://127.0.0.1:{servers.binary_port}") == by_http
    assert find_msg_server(servers.login_url + "/msg_server") == by_http


def test_a_login_server_without_a_msg_server_says_so(servers: MessageServers) -> None:
    servers.registered = False
    with pytest.raises(LoginServerError, match="knows no msg_server: code 1: 没有msg_server") as raised:
        find_msg_server(servers.login_url)
    assert raised.value.code == 1
    with pytest.raises(LoginServerError, match="result 1: REFUSE_REASON_NO_MSG_SERVER"):
        find_msg_server(f"tcp://127.0.0.1:{servers.binary_port}")


def test_a_server_of_another_kind_is_no_login_server(servers: MessageServers, stack: Stack) -> None:
    with pytest.raises(OSError, match="refused"):
        find_msg_server(f"http://127.0.0.1:{free_port()}")
    host, port = stack.redis_server.address
    with pytest.raises(LoginServerError, match="not HTTP"):
        find_msg_server(f"http://{host}:{port}")
    with pytest.raises(ProtocolError, match="not TeamTalk's protocol"):
        find_msg_server(f"tcp://{stack.mariadb.address[0]}:{stack.mariadb.address[1]}")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        find_msg_server(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


def test_who_logs_in_gets_their_data(users: Users) -> None:
    assert (users.alice.user_id, users.bob.user_id) == (1, 2)
    assert [info.user_nick_name for info in users.alice.user_infos([2, 1, 9]).user_info_list] == ["Alice", "Bob"]
    assert users.alice.users_status([1, 2, 9]) == {1: 1, 2: 1, 9: 2}
    assert len(users.alice.all_users().user_list) == 2
    assert list(users.alice.departments().dept_list) == []
    assert abs(users.alice.server_time() - time.time()) < 60


def test_a_wrong_password_is_refused_with_the_reason(servers: MessageServers) -> None:
    with ChatClient("127.0.0.1", servers.port) as client:
        with pytest.raises(LoginRefusedError, match="result 6: wrong user name or password") as raised:
            client.login("alice", "wrong")
        assert raised.value.result_code == base.REFUSE_REASON_DB_VALIDATE_FAILED
        with pytest.raises(ConnectionClosedError):
            client.idle(5)


def test_a_hashed_password_is_sent_as_it_is(servers: MessageServers) -> None:
    with ChatClient("127.0.0.1", servers.port) as client:
        assert client.login("alice", "e10adc3949ba59abbe56e057f20f883e", hashed=True).user_info.user_id == 1


def test_a_message_is_acknowledged_delivered_counted_and_read(users: Users) -> None:
    ack = users.alice.send_message(2, "你好, bob")
    assert (ack.user_id, ack.session_id, ack.msg_id, ack.session_type) == (1, 2, 1, base.SESSION_TYPE_SINGLE)
    push = users.bob.next_push(message_pb2.IMMsgData)
    assert (push.from_user_id, push.msg_id, users.bob.text_of(push)) == (1, 1, "你好, bob")
    assert [(entry.session_id, entry.unread_cnt) for entry in users.bob.unread().unreadinfo_list] == [(1, 1)]
    assert [users.bob.text_of(entry) for entry in users.bob.messages(1).msg_list] == ["你好, bob"]
    assert [entry.msg_id for entry in users.bob.messages_by_id(1, [1]).msg_list] == [1]
    assert users.bob.latest_msg_id(1) == 1
    phone = users.login("bob", base.CLIENT_TYPE_IOS)
    users.bob.read_ack(1, 1)
    assert phone.next_push(message_pb2.IMMsgDataReadNotify).msg_id == 1
    assert eventually(lambda: users.bob.unread().total_cnt, 0) == 0
    assert [entry.session_id for entry in users.bob.sessions().contact_session_list] == [1]
    assert users.bob.remove_session(1).result_code == 0
    assert list(users.bob.sessions().contact_session_list) == []


def test_texts_are_stored_as_clients_encrypt_them(users: Users, stack: Stack) -> None:
    users.alice.send_message(2, "hello")
    assert [row["content"] for row in stack.rows("select content from IMMessage_1")] == ["nnZSBwfPCz60q69ddmfIJA=="]


def test_a_group_is_created_written_to_and_left(users: Users) -> None:
    created = users.alice.create_group("a few", [1, 2])
    assert (created.result_code, list(created.user_id_list)) == (0, [1, 2])
    ack = users.alice.send_group_message(created.group_id, "to all")
    assert (ack.session_type, ack.msg_id) == (base.SESSION_TYPE_GROUP, 1)
    push = users.bob.next_push(message_pb2.IMMsgData, lambda pushed: pushed.to_session_id == created.group_id)
    assert users.bob.text_of(push) == "to all"
    users.bob.read_ack(created.group_id, 1, GROUP)
    assert list(users.bob.group_infos({created.group_id: 0}).group_info_list[0].group_member_list) == [1, 2]
    assert users.bob.shield_group(created.group_id).result_code == 0
    assert list(users.alice.remove_members(created.group_id, [2]).chg_user_id_list) == [2]
    notify = users.bob.next_push(group_pb2.IMGroupChangeMemberNotify)
    assert (notify.change_type, list(notify.cur_user_id_list)) == (base.GROUP_MODIFY_TYPE_DEL, [1])
    assert list(users.alice.add_members(created.group_id, [2]).cur_user_id_list) == [1, 2]
    assert list(users.alice.normal_groups().group_version_list) == []  # it is a temporary one


def test_a_second_login_ends_the_first_one(users: Users) -> None:
    second = users.login("alice", base.CLIENT_TYPE_MAC)
    assert users.alice.next_push(login_pb2.IMKickUser).kick_reason == base.KICK_REASON_DUPLICATE_USER
    with pytest.raises(KickedError, match="the same user has logged in elsewhere"):
        users.alice.unread()
    assert second.unread().total_cnt == 0


def test_a_request_that_waits_while_the_client_is_logged_out_says_so(users: Users, servers: MessageServers) -> None:
    servers.silent.add(base.CID_MSG_UNREAD_CNT_REQUEST)
    number = users.bob.send(message_pb2.IMUnreadMsgCntReq(user_id=2))
    assert number > 0
    users.login("bob")
    with pytest.raises(KickedError):
        users.bob.unread()


def test_a_phone_logs_the_pc_out_and_a_pc_cannot(users: Users) -> None:
    phone = users.login("alice", base.CLIENT_TYPE_ANDROID)
    assert phone.kick_pc_client().result_code == 0
    assert users.alice.next_push(login_pb2.IMKickUser).kick_reason == base.KICK_REASON_MOBILE_KICK
    users.bob.timeout = 0.2
    with pytest.raises(TimeoutError, match="the answer to IMKickPCClientReq did not come in time"):
        users.bob.kick_pc_client()


def test_settings_are_stored(users: Users) -> None:
    assert users.alice.set_push_shield(1).result_code == 0
    assert users.alice.push_shield().shield_status == 1
    assert users.alice.change_sign_info("away").sign_info == "away"


def test_messages_are_sent_no_faster_than_a_msg_server_takes_them(users: Users) -> None:
    acks = [users.alice.send_message(2, f"message {number}").msg_id for number in range(MESSAGES_PER_SECOND + 5)]
    assert acks == list(range(1, len(acks) + 1))


def test_without_the_limit_the_server_ignores_what_is_too_much(users: Users) -> None:
    fast = users.login("alice", base.CLIENT_TYPE_IOS, limit_rate=False)
    fast.timeout = 0.3
    with pytest.raises(TimeoutError, match="the answer to IMMsgData did not come in time"):
        _send_many(fast, MESSAGES_PER_SECOND * 10)


def _send_many(client: ChatClient, count: int) -> None:
    for number in range(count):
        client.send_message(2, f"message {number}")


def test_a_heartbeat_comes_back_and_messages_that_come_meanwhile_are_kept(users: Users) -> None:
    users.alice.send_message(2, "hello")
    assert users.bob.heartbeat() > 0
    assert users.bob.next_push(message_pb2.IMMsgData).msg_id == 1


def test_an_idle_client_sends_heartbeats(users: Users, servers: MessageServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.testing.chat_client.HEARTBEAT_INTERVAL", 0.05)
    with pytest.raises(TimeoutError):
        users.bob.next_push(message_pb2.IMMsgData, timeout=0.5)
    assert users.bob.send(message_pb2.IMClientTimeReq()) > 3  # the numbers of the heartbeats are used up


def test_pushes_that_nobody_takes_are_bounded(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbproxy.testing.chat_client.MAX_PUSHES", 3)
    for number in range(5):
        users.alice.send_message(2, f"message {number}")
    assert users.bob.unread().total_cnt == 5
    texts = [users.bob.text_of(pushed) for pushed in users.bob.pushes if isinstance(pushed, message_pb2.IMMsgData)]
    assert (texts, users.bob.dropped_pushes) == (["message 2", "message 3", "message 4"], 2)


def test_a_server_that_goes_away_is_no_timeout(users: Users, servers: MessageServers) -> None:
    servers.close_clients()
    with pytest.raises(ConnectionClosedError):
        users.alice.next_push(message_pb2.IMMsgData)


def test_logging_out_ends_the_connection(users: Users) -> None:
    assert users.alice.logout().result_code == 0
    assert eventually(lambda: users.bob.users_status([1])[1] == base.USER_STATUS_OFFLINE, True)


def test_an_answer_of_another_type_is_a_mistake_of_the_caller(users: Users) -> None:
    with pytest.raises(ValueError, match="IMUnreadMsgCntRsp does not answer IMClientTimeReq"):
        users.alice.ask(message_pb2.IMClientTimeReq(), message_pb2.IMUnreadMsgCntRsp)
