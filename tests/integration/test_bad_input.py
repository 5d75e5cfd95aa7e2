"""Whatever a peer sends: the process lives, the other connections are answered, memory stays bounded."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.client import pack
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import COMMANDS, VALIDATE
from dbproxy.wire.pb import buddy_pb2
from dbproxy.wire.pdu import HEADER, pack_pdu

USERS = buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1, 2])
LENGTHS = [0, 1, 8, 15, 16 * 1024 * 1024 + 1, 2**31 - 1, 2**31, 2**32 - 1]


@pytest.fixture(scope="module")
def proxy(dbproxy_stack: Stack) -> Iterator[ProxyProcess]:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    seed.group(dbproxy_stack, 9, [1, 2])
    with ProxyProcess(dbproxy_stack) as running:
        yield running


@pytest.fixture
def other(proxy: ProxyProcess) -> Iterator[Client]:
    """Another connection, which must not notice anything; and a log without tracebacks."""
    with proxy.client() as client:
        yield client
        assert client.login("alice").result_code == 0
        assert proxy.running
        assert "Traceback" not in proxy.log()


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("length", LENGTHS)
def test_impossible_lengths_close_that_connection_only(proxy: ProxyProcess, other: Client, length: int) -> None:
    with proxy.client() as client:
        client.send_raw(HEADER.pack(length, 1, 0, 3, 0x0301, 1, 0) + b"x" * 50)
        assert client.closed_within(5)


def test_requests_before_a_broken_length_are_carried_out(proxy: ProxyProcess, other: Client) -> None:
    request = message(1, 2, "the last good one")
    with proxy.client() as client:
        client.send_raw(pack_pdu(3, 0x0301, 1, request.SerializeToString()) + HEADER.pack(15, 1, 0, 3, 0x0301, 2, 0))
        assert client.closed_within(5)
    assert eventually(lambda: b"the last good one" in [info.msg_data for info in other.messages(2, 1).msg_list], True)


def test_a_peer_that_sends_byte_by_byte_is_answered(proxy: ProxyProcess, other: Client) -> None:
    with proxy.client() as client:
        stream = pack_pdu(3, 0x0301, 1, message(1, 2).SerializeToString()) + pack_pdu(3, 0x0301, 2, message(1, 2).SerializeToString())
        for position in range(len(stream)):
            client.send_raw(stream[position : position + 1])
        assert [pdu.seq_num for pdu in client.receive_many(2)] == [1, 2]


def test_versions_flags_and_service_ids_of_requests_do_not_matter(proxy: ProxyProcess, other: Client) -> None:
    with proxy.client() as client:
        client.send_raw(pack(99, 0x0301, message(1, 2).SerializeToString(), seq_num=7, version=9, flag=3, reserved=5))
        reply = client.receive(5)
    header = (reply.version, reply.flag, reply.service_id, reply.command_id, reply.seq_num, reply.reserved)
    assert header == (1, 0, 3, 0x0301, 7, 0)


def test_a_peer_that_resets_after_its_requests_does_no_harm(proxy: ProxyProcess, other: Client) -> None:
    proxy.signal(signal.SIGPIPE)
    for _ in range(20):
        client = proxy.client()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        client.send_raw(pack_pdu(2, 0x0204, 1, USERS.SerializeToString()) * 50)
        client.close()
    assert other.user_info([1]).user_info_list


@pytest.mark.parametrize("command_id", sorted(COMMANDS))
def test_garbage_bodies_get_silence_and_the_connection_stays(proxy: ProxyProcess, other: Client, command_id: int) -> None:
    command = COMMANDS[command_id]
    chance = random.Random(command_id)
    bodies = [b"", b"\xff" * 3, b"\x08", b"\x0a\xff\xff\xff\xff\x0f", chance.randbytes(200)]
    parseable = [body for body in bodies if _parses(command_id, body)]
    with proxy.client() as client:
        client.send_raw(b"".join(pack_pdu(command.service_id, command_id, 1, body) for body in bodies if body not in parseable))
        if command is VALIDATE:
            for pdu in client.receive_many(len(bodies) - len(parseable)):
                assert (pdu.message.result_code, pdu.message.user_name) == (2, "")  # type: ignore[attr-defined]
        assert (
            client.unread(
                1,
            ).total_cnt
            >= 0
        )


def _parses(command_id: int, body: bytes) -> bool:
    with contextlib.suppress(Exception):
        return bool(COMMANDS[command_id].request.FromString(body).IsInitialized())
    return False


def test_unknown_commands_are_ignored(proxy: ProxyProcess, other: Client) -> None:
    with proxy.client() as client:
        for command_id in (0, 0x0302, 0x0702, 0x7FFF, 0xFFFF):
            client.send_raw(pack_pdu(3, command_id, 1, b"anything"))
        assert client.login("bob").result_code == 0


@pytest.mark.parametrize("seed_number", range(6))
def test_mutated_pdus_and_random_bytes_do_no_harm(proxy: ProxyProcess, other: Client, seed_number: int) -> None:
    chance = random.Random(seed_number)
    good = [pack_pdu(3, 0x0301, 1, message(1, 2, b"hello").SerializeToString())]
    good += [pack_pdu(c.service_id, c.command_id, 2, chance.randbytes(chance.randint(0, 40))) for c in COMMANDS.values()]
    before = resident(proxy.pid)
    for _ in range(15):
        with proxy.client() as client, contextlib.suppress(OSError):
            for _ in range(40):
                data = bytearray(chance.choice(good))
                for _ in range(chance.randint(0, 3)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                client.send_raw(bytes(data[: chance.choice((len(data), chance.randint(1, len(data))))]))
    assert other.user_info([1, 2]).user_info_list
    assert resident(proxy.pid) - before < 64 << 20


def test_half_a_pdu_for_each_of_many_connections_costs_little(proxy: ProxyProcess, other: Client) -> None:
    before = resident(proxy.pid)
    clients = [proxy.client() for _ in range(300)]
    try:
        for client in clients:
            client.send_raw(HEADER.pack(10_000_000, 1, 0, 3, 0x0301, 1, 0) + b"x" * 1000)
        assert other.login("bob").result_code == 0
        assert resident(proxy.pid) - before < 32 << 20
    finally:
        for client in clients:
            client.close()
