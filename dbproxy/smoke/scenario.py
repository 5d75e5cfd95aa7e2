"""What a smoke test does: a user logs in, writes with another one, and leaves. One thread."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

from dbproxy.addresses import shown_address
from dbproxy.errors import DbproxyError
from dbproxy.smoke.plan import PC_TYPES, Account, Plan
from dbproxy.smoke.steps import Step, StepFailedError, UnreachableError, until
from dbproxy.testing.chat_client import ChatClient
from dbproxy.testing.chat_requests import GROUP
from dbproxy.testing.login_server import find_msg_server
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import group_pb2, login_pb2, message_pb2

CLEANUP_SECONDS = 3.0
"""How long an interrupted run may take to remove the members of its group."""

MAX_CLOCK_DIFFERENCE = 60
"""Seconds by which the clock of the msg_server may differ from ours; message lists of clients begin to look odd then."""


_WITHOUT_PROXY = {"address", "connect", "heartbeat", "time", "status"}
"""Steps for which no db_proxy_server is needed."""
_SILENT = "msg_server says nothing when db_proxy_server does not answer, or could not do it: see its log"


class Scenario:
    """The steps of a plan. ``close`` ends the connections that they have opened."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._timeout = plan.timeout
        self._hosts: tuple[str, ...] = ()
        self._host, self._port = "", 0
        self._exits = contextlib.ExitStack()
        self._user: ChatClient
        self._peer: ChatClient
        self._peer_is_in = False
        self._sent = self._answered = message_pb2.IMMsgDataAck()
        self._text = f"dbproxy-smoke {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {secrets.token_hex(4)}"
        self._group_id = 0

    def close(self) -> None:
        """Close every connection; may be called twice. A group that still has its members, because the run was interrupted, loses them."""
        if self._group_id:
            with contextlib.suppress(DbproxyError, OSError):
                self._remove_members(min(self._timeout, CLEANUP_SECONDS))
        self._exits.close()

    def steps(self) -> list[Step]:
        """Return the steps in their order."""
        return [step if step.name in _WITHOUT_PROXY else replace(step, hint=_SILENT) for step in self._all_steps()]

    def _all_steps(self) -> Iterator[Step]:
        user = self._plan.user.name
        yield Step("address", "login_server names a msg_server", self._find)
        yield Step("connect", "connect to msg_server", self._connect, ["address"])
        yield Step("login", f"log in as {user}", self._log_in, ["connect"])
        yield Step("heartbeat", "heartbeat comes back", self._heartbeat, ["login"])
        yield Step("time", "time of msg_server", self._time, ["login"])
        yield Step("user_info", "one's own data", self._user_info, ["login"])
        yield Step("sessions", "recent sessions", self._sessions, ["login"])
        yield Step("unread", "unread counters", self._unread, ["login"])
        yield Step("groups", "permanent groups", self._groups, ["login"])
        if self._plan.peer is not None:
            yield from self._peer_steps(self._plan.peer.name)
        if self._plan.group:
            yield from self._group_steps()
        yield Step("kick", f"a second login as {user} ends the first", self._kick, ["login"])
        yield Step("logout", f"log out as {user}", self._log_out, ["login"])

    def _peer_steps(self, peer: str) -> Iterator[Step]:
        user = self._plan.user.name
        yield Step("peer_login", f"log in as {peer}", self._log_in_peer, ["login"])
        if self._plan.client_type in PC_TYPES:  # who is logged in with a phone only is never online
            yield Step("status", f"{peer} is online (route_server)", self._status, ["peer_login"])
        yield Step("send", f"a message to {peer} is acknowledged", self._send, ["peer_login"])
        yield Step("delivery", f"{peer} gets the message", self._delivery, ["send"])
        yield Step("counted", f"{peer} has it unread", self._counted, ["send"])
        yield Step("history", f"{peer} finds it in the message list and by its id", self._history, ["send"])
        yield Step("latest", f"it is the last message of {peer}'s session with {user}", self._latest, ["send"])
        yield Step("read", f"{peer} has read it: not unread any more", self._read, ["send"])
        yield Step("answer", f"the answer reaches {user}", self._answer, ["peer_login"])

    def _group_steps(self) -> Iterator[Step]:
        needs = ["login"] if self._plan.peer is None else ["peer_login"]
        yield Step("group", "create a temporary group", self._create_group, needs)
        yield Step("group_info", "the group has its members", self._group_info, ["group"])
        yield Step("group_send", "a message to the group is acknowledged and delivered", self._group_send, ["group"])
        yield Step("group_leave", "the members are removed from the group, and told", self._group_leave, ["group"])

    # logging in

    def _find(self) -> str:
        if self._plan.msg_server is not None:
            host, self._port = self._plan.msg_server
            self._hosts = (host,)
            return f"not asked, {shown_address(host, self._port)} is given"
        try:
            found = find_msg_server(self._plan.login_url, timeout=self._timeout)
        except OSError as error:
            raise UnreachableError(f"{self._plan.login_url}: {error.strerror or error}") from None
        self._hosts, self._port = found.hosts, found.port
        return ", ".join(shown_address(host, found.port) for host in found.hosts)

    def _connect(self) -> str:
        problems = []
        for host in self._hosts:
            self._host = host
            try:
                self._user = self._client()
            except OSError as error:
                problems.append(f"{shown_address(host, self._port)}: {error.strerror or error}")
            else:
                return shown_address(host, self._port)
        where = "" if self._plan.msg_server is not None else "; login_server has the address from IpAddr1 and IpAddr2 of msgserver.conf"
        raise UnreachableError(", ".join(problems) + where)

    def _client(self) -> ChatClient:
        client = ChatClient(self._host, self._port, timeout=self._timeout, aes_key=self._plan.aes_key)
        return self._exits.enter_context(client)

    def _log_in(self) -> str:
        return self._log_in_as(self._user, self._plan.user)

    def _log_in_peer(self) -> str:
        assert self._plan.peer is not None
        self._peer = self._client()
        found = self._log_in_as(self._peer, self._plan.peer)
        self._peer_is_in = True
        return found

    def _log_in_as(self, client: ChatClient, account: Account) -> str:
        answer = client.login(account.name, account.password, client_type=self._plan.client_type_id)
        return f"user {answer.user_info.user_id}, {answer.user_info.user_nick_name!r}"

    # what one user can see

    def _heartbeat(self) -> str:
        self._user.heartbeat()
        return ""

    def _time(self) -> str:
        difference = self._user.server_time() - time.time()
        if abs(difference) > MAX_CLOCK_DIFFERENCE:
            raise StepFailedError(f"the clock of msg_server differs by {difference:+.0f} s from the clock here")
        return "as here" if abs(difference) < 2 else f"{difference:+.0f} s"  # it has no fractions

    def _user_info(self) -> str:
        found = self._user.user_infos([self._user.user_id]).user_info_list
        if [entry.user_id for entry in found] != [self._user.user_id]:
            raise StepFailedError(f"asked for user {self._user.user_id}, got {[entry.user_id for entry in found]}")
        return ""

    def _sessions(self) -> str:
        return f"{len(self._user.sessions().contact_session_list)}"

    def _unread(self) -> str:
        return f"{self._user.unread().total_cnt} in all"

    def _groups(self) -> str:
        return f"{len(self._user.normal_groups().group_version_list)}"

    # messages

    def _status(self) -> str:
        until(self._peer_offline, self._timeout)
        return ""

    def _peer_offline(self) -> str:
        status = self._user.users_status([self._peer.user_id]).get(self._peer.user_id)
        if status == base.USER_STATUS_ONLINE:
            return ""
        return f"route_server has the status {status} for user {self._peer.user_id}, not {base.USER_STATUS_ONLINE}"

    def _send(self) -> str:
        self._sent = self._user.send_message(self._peer.user_id, self._text)
        if not self._sent.msg_id:
            raise StepFailedError("the acknowledgement has no msg_id")
        return f"msg_id {self._sent.msg_id}"

    def _delivery(self) -> str:
        self._expect_text(self._peer, self._user.user_id, self._sent.msg_id, self._text)
        return ""

    def _expect_text(self, client: ChatClient, sender: int, msg_id: int, text: str) -> None:
        push = client.next_push(message_pb2.IMMsgData, lambda message: message.msg_id == msg_id and message.from_user_id == sender)
        found = client.text_of(push)
        if found != text:
            raise StepFailedError(f"the text that arrived is {found[:100]!r} instead of {text!r}")

    def _counted(self) -> str:
        found = self._unread_entry()
        if found is None or found.unread_cnt < 1:
            raise StepFailedError(f"{self._plan.user.name} is not among the sessions with something unread")
        if found.latest_msg_id != self._sent.msg_id:
            raise StepFailedError(f"the last unread message is {found.latest_msg_id}, not {self._sent.msg_id}")
        return f"{found.unread_cnt} unread"

    def _unread_entry(self) -> base.UnreadInfo | None:
        entries = self._peer.unread().unreadinfo_list
        single = [entry for entry in entries if entry.session_type == base.SESSION_TYPE_SINGLE]
        return next((entry for entry in single if entry.session_id == self._user.user_id), None)

    def _history(self) -> str:
        until(self._not_listed, self._timeout)  # lists are read from a replica, which may be a moment behind
        return ""

    def _not_listed(self) -> str:
        listed = self._peer.messages(self._user.user_id, msg_cnt=10).msg_list
        by_id = self._peer.messages_by_id(self._user.user_id, [self._sent.msg_id]).msg_list
        for how, messages in (("among the 10 newest messages", listed), ("asked for by its id", by_id)):
            found = [message for message in messages if message.msg_id == self._sent.msg_id]
            if not found:
                return f"message {self._sent.msg_id} is missing {how}"
            if self._peer.text_of(found[0]) != self._text:
                return f"message {self._sent.msg_id} has another text {how}"
        return ""

    def _latest(self) -> str:
        until(self._not_latest, self._timeout)
        return ""

    def _not_latest(self) -> str:
        user_id, wanted = self._user.user_id, self._sent.msg_id
        latest = self._peer.latest_msg_id(user_id)
        if latest != wanted:
            return f"the largest msg_id is {latest}, not {wanted}"
        sessions = [entry for entry in self._peer.sessions().contact_session_list if entry.session_type == base.SESSION_TYPE_SINGLE]
        found = [entry.latest_msg_id for entry in sessions if entry.session_id == user_id]
        return "" if found == [wanted] else f"the recent sessions have {found} as its last message, not [{wanted}]"

    def _read(self) -> str:
        self._peer.read_ack(self._user.user_id, self._sent.msg_id)
        until(lambda: "it is still counted as unread" if self._unread_entry() else "", self._timeout)
        return ""

    def _answer(self) -> str:
        text = self._text + " answer"
        self._answered = self._peer.send_message(self._user.user_id, text)
        self._expect_text(self._user, self._peer.user_id, self._answered.msg_id, text)
        self._user.read_ack(self._peer.user_id, self._answered.msg_id)
        return f"msg_id {self._answered.msg_id}"

    # a group

    def _members(self) -> list[int]:
        return [client.user_id for client in ([self._user] if self._plan.peer is None else [self._user, self._peer])]

    def _create_group(self) -> str:
        answer = self._user.create_group("dbproxy-smoke", self._members())
        if answer.result_code or not answer.group_id:
            raise StepFailedError(f"result {answer.result_code}, group {answer.group_id}")
        self._group_id = answer.group_id
        return f"group {self._group_id}"

    def _group_info(self) -> str:
        until(self._wrong_group, self._timeout)
        return f"{len(self._members())}"

    def _wrong_group(self) -> str:
        found = self._user.group_infos({self._group_id: 0}).group_info_list
        members = sorted(found[0].group_member_list) if found else None
        return "" if members == sorted(self._members()) else f"the members are {members}, not {sorted(self._members())}"

    def _group_send(self) -> str:
        answer = self._user.send_group_message(self._group_id, self._text)
        if self._plan.peer is not None:
            self._expect_group_text(answer.msg_id)
        return f"msg_id {answer.msg_id}"

    def _expect_group_text(self, msg_id: int) -> None:
        push = self._peer.next_push(message_pb2.IMMsgData, lambda message: message.to_session_id == self._group_id)
        if (push.msg_id, self._peer.text_of(push)) != (msg_id, self._text):
            raise StepFailedError(f"message {push.msg_id} arrived instead of {msg_id}, or with another text")
        self._peer.read_ack(self._group_id, msg_id, GROUP)

    def _group_leave(self) -> str:
        group_id = self._group_id
        self._remove_members(self._timeout)
        if self._plan.peer is not None:
            self._peer.next_push(group_pb2.IMGroupChangeMemberNotify, lambda notify: notify.group_id == group_id)
        return ""

    def _remove_members(self, timeout: float) -> None:
        self._user.timeout, before = timeout, self._user.timeout
        answer = self._user.remove_members(self._group_id, self._members())
        self._user.timeout = before
        if answer.result_code:
            raise StepFailedError(f"result {answer.result_code}: the members are still in group {self._group_id}")
        self._group_id = 0

    # leaving

    def _kick(self) -> str:
        second = self._client()
        self._log_in_as(second, self._plan.user)
        first, self._user = self._user, second
        reason = first.next_push(login_pb2.IMKickUser).kick_reason
        if reason != base.KICK_REASON_DUPLICATE_USER:
            raise StepFailedError(f"the reason that the first one got is {reason}, not {base.KICK_REASON_DUPLICATE_USER}")
        return ""

    def _log_out(self) -> str:
        for client in [self._user, self._peer] if self._peer_is_in else [self._user]:
            answer = client.logout()
            if answer.result_code:
                raise StepFailedError(f"result {answer.result_code}")
        return ""
