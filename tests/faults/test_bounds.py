"""Replies, lists of ids and unfinished PDUs without bound: memory stays bounded, who reads gets everything, others go on."""

from __future__ import annotations

import re
import resource
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from google.protobuf.message import Message

from dbproxy.testing import ProxyProcess, Stack, seed
from dbproxy.testing.client import BY_REQUEST, pack
from dbproxy.testing.requests import SINGLE
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import HEARTBEAT_COMMAND_ID
from dbproxy.wire.pb import buddy_pb2, group_pb2, message_pb2
from dbproxy.wire.pdu import HEADER, HEADER_LENGTH

pytestmark = pytest.mark.watchdog(180)

MB = 1 << 20

KEYS = {"ThreadNum": 48}

CLOSED_BY_US = re.compile("WARNING .* connection closed")


def peak_memory(proxy: ProxyProcess) -> int:
    """Bytes of memory that the process has had at most."""
    for line in Path(f"/proc/{proxy.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not tell")


def pdus_of(messages: Sequence[Message]) -> bytes:
    parts = []
    for number, message in enumerate(messages):
        command = BY_REQUEST[type(message)]
        parts.append(pack(command.service_id, command.command_id, message.SerializePartialToString(), seq_num=number))
    return b"".join(parts)


class Reader:
    """A peer that sends requests at once and reads their replies, of which it keeps the lengths only."""

    def __init__(self, proxy: ProxyProcess, requests: Sequence[Message]) -> None:
        self.lengths: list[int] = []
        self._wanted = len(requests)
        self._socket = socket.create_connection((proxy.host, proxy.port), timeout=60)
        self._threads = [
            threading.Thread(target=self._socket.sendall, args=(pdus_of(requests),), daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def join(self) -> list[int]:
        """Wait until everything is answered, or the connection is closed; returns the lengths of the replies."""
        for thread in self._threads:
            thread.join(120)
        return self.lengths

    def _read(self) -> None:
        with self._socket.makefile("rb", buffering=MB) as stream:
            while len(self.lengths) < self._wanted:
                header = stream.read(HEADER_LENGTH)
                if len(header) < HEADER_LENGTH:
                    return
                length, _, _, _, command_id, _, _ = HEADER.unpack(header)
                left = length - HEADER_LENGTH
                while left and (chunk := stream.read(min(left, MB))):
                    left -= len(chunk)
                if command_id != HEARTBEAT_COMMAND_ID:
                    self.lengths.append(length)


class SteadyClient:
    """Another peer that asks for something small, one request after the other."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self.answered = 0
        self._over = threading.Event()
        self._proxy = proxy
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> SteadyClient:
        self._thread.start()
        assert eventually(lambda: self.answered > 0, True)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _ask(self) -> None:
        with self._proxy.client(timeout=60) as client:
            while not self._over.wait(0.002):
                assert client.push_shield(1).user_id == 1
                self.answered += 1


@pytest.fixture(scope="module")
def long_history(dbproxy_stack: Stack) -> Iterator[Stack]:
    """A conversation of 2,000 messages as long as the column takes: 31 MB a list."""
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    with ProxyProcess(dbproxy_stack) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
    relate_id = int(str(dbproxy_stack.rows("select id from IMRelationShip")[0]["id"]))
    table = f"IMMessage_{relate_id % 8}"
    columns = "relateId,fromId,toId,msgId,content,type,status,created,updated"
    text = "\U0001f600" * 4096
    dbproxy_stack.rows(f"insert into {table} ({columns}) values ({relate_id},1,2,2,'{text}',1,0,10,10)")
    while True:
        last = int(str(dbproxy_stack.rows(f"select max(msgId) as last from {table}")[0]["last"]))
        if last >= 2000:
            break
        dbproxy_stack.rows(
            f"insert into {table} ({columns}) "
            f"select relateId,fromId,toId,msgId+{last - 1},content,type,0,created+{last - 1},1 from {table} "
            f"where relateId={relate_id} and msgId>1 order by msgId limit {2000 - last}"
        )
    yield dbproxy_stack
    dbproxy_stack.reset()


@pytest.mark.parametrize("connections", [1, 24])
def test_24_histories_of_31_mb_at_once_are_all_answered_within_400_mb(long_history: Stack, connections: int) -> None:
    request = message_pb2.IMGetMsgListReq(user_id=1, session_type=SINGLE, session_id=2, msg_id_begin=0, msg_cnt=2000)
    with ProxyProcess(long_history, KEYS) as proxy, ExitStack() as exits, SteadyClient(proxy) as steady:
        readers = [exits.enter_context(Reader(proxy, [request] * (24 // connections))) for _ in range(connections)]
        lengths = [length for reader in readers for length in reader.join()]
        assert peak_memory(proxy) < 400 * MB
        assert len(lengths) == 24
        assert min(lengths) > 31 * MB
        assert steady.answered > 50
        assert not CLOSED_BY_US.search(proxy.log())


def test_300_requests_for_5000_users_are_all_answered_within_350_mb(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, *(f"user{number}" for number in range(5000)))
    request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0)
    with ProxyProcess(dbproxy_stack, KEYS) as proxy, Reader(proxy, [request] * 300) as reader:
        lengths = reader.join()
        assert peak_memory(proxy) < 350 * MB
        assert len(lengths) == 300
        assert len(set(lengths)) == 1
        assert not CLOSED_BY_US.search(proxy.log())


def test_lists_of_a_million_ids_leave_memory_bounded_and_others_answered(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    request = group_pb2.IMGroupInfoListReq(user_id=1)
    for group_id in range(1, 10**6 + 1):
        request.group_version_list.add(group_id=group_id, version=0)
    with ProxyProcess(dbproxy_stack, {**KEYS, "RequestTimeout": 60}) as proxy, ExitStack() as exits, SteadyClient(proxy) as steady:
        readers = [exits.enter_context(Reader(proxy, [request])) for _ in range(12)]
        assert [len(reader.join()) for reader in readers] == [1] * 12
        assert peak_memory(proxy) < 450 * MB
        assert steady.answered > 50
        assert not CLOSED_BY_US.search(proxy.log())


def test_a_lookup_is_dropped_when_its_requests_have_waited_for_too_long(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    request = buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=range(1, 2_000_000))
    with ProxyProcess(dbproxy_stack, {**KEYS, "RequestTimeout": 0.5}) as proxy, proxy.client() as client:
        client.send(request)
        assert eventually(lambda: "RequestTimeout" in proxy.log(), True, timeout=30)
        assert len(client.user_info([1, 2]).user_info_list) == 2


def test_an_unread_list_of_a_million_senders_is_answered_within_450_mb(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    with dbproxy_stack.redis("unread") as redis:
        for start in range(1000, 1_001_000, 10_000):
            redis.hset("unread_1", mapping={str(sender): 1 for sender in range(start, start + 10_000)})
    with (
        ProxyProcess(dbproxy_stack, {**KEYS, "RequestTimeout": 60}) as proxy,
        proxy.client(timeout=100) as client,
        SteadyClient(proxy) as steady,
    ):
        assert client.send_message(2, 1).msg_id == 1
        assert [(entry.session_id, entry.unread_cnt) for entry in client.unread(1).unreadinfo_list] == [(2, 1)]
        assert peak_memory(proxy) < 450 * MB
        assert steady.answered > 50


def test_a_thousand_unfinished_pdus_are_bounded_as_they_arrive(dbproxy_stack: Stack) -> None:
    """1 GB in all, against a bound of 64 MiB: those that hold most are closed before the rest has arrived."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    begun = HEADER.pack(2 * MB, 1, 0, 3, 0x0301, 1, 0) + bytes(MB)
    try:
        with (
            ProxyProcess(dbproxy_stack, {**KEYS, "MaxWaitingBytes": 16 * MB}) as proxy,
            ExitStack() as exits,
            SteadyClient(proxy) as steady,
        ):
            before = peak_memory(proxy)
            peers = [exits.enter_context(socket.create_connection((proxy.host, proxy.port), timeout=20)) for _ in range(1000)]

            def send(some: Sequence[socket.socket]) -> None:
                for peer in some:
                    try:
                        peer.sendall(begun)
                    except OSError:
                        continue

            threads = [threading.Thread(target=send, args=(peers[start::8],)) for start in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert eventually(lambda: "all connections together hold too much" in proxy.log(), True)
            assert peak_memory(proxy) - before < 2 * 64 * MB
            answered = steady.answered
            assert eventually(lambda: steady.answered > answered, True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_peer_that_does_not_read_is_held_and_others_are_answered(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, *(f"user{number}" for number in range(2000)))
    request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0)
    keys = {**KEYS, "MaxSendBuffer": MB, "SendTimeout": 3}
    with ProxyProcess(dbproxy_stack, keys) as proxy, SteadyClient(proxy) as steady:
        before = peak_memory(proxy)
        with socket.create_connection((proxy.host, proxy.port), timeout=20) as not_reading:
            not_reading.sendall(pdus_of([request] * 2000))
            answered = steady.answered
            assert eventually(lambda: steady.answered > answered + 20, True)
            assert eventually(lambda: "took none of" in proxy.log(), True, timeout=20)
        assert peak_memory(proxy) - before < 32 * MB
