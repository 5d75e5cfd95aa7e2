"""Requests full of odd values to a running proxy: no handler fails, every reply is one, and the connection goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bodies import GROUP, requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dbproxy.testing import FileServer, ProxyProcess, Stack, seed
from dbproxy.testing.client import Client, Pdu, pack
from dbproxy.wire.commands import COMMANDS, UNREAD_COUNT, Command
from dbproxy.wire.pb import message_pb2
from dbproxy.wire.pdu import HEADER_LENGTH

PROBE = 0xFFFF
"""The seq_num of a request whose reply shows that the connection goes on."""

REPLIES = {(command.reply_service_id, command.reply_command_id): command for command in COMMANDS.values() if command.reply}

pytestmark = pytest.mark.watchdog(90)


@pytest.fixture(scope="module")
def proxy(dbproxy_stack: Stack) -> Iterator[ProxyProcess]:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob", "carol", "dave")
    seed.group(dbproxy_stack, GROUP, [1, 2, 3])
    with FileServer() as files:
        running = ProxyProcess(dbproxy_stack, {"MsfsSite": files.site, "StopGrace": 20}).start()
        try:
            yield running
        finally:
            # Leaving waits for everything that is under way, so nothing can fail unseen after the last look.
            status = running.stop()
        assert status == 0
        assert "Traceback" not in running.log()
        assert "stay unanswered" not in running.log()


@pytest.fixture(scope="module")
def client(proxy: ProxyProcess) -> Iterator[Client]:
    with proxy.client(timeout=20) as connected:
        yield connected


def ask_all(client: Client, asked: list[tuple[Command[Any, Any], bytes]]) -> list[Pdu]:
    """Send all at once, with seq_nums from 1, then a probe; what comes before its reply."""
    parts = [pack(command.service_id, command.command_id, body, seq_num=number) for number, (command, body) in enumerate(asked, start=1)]
    probe = message_pb2.IMUnreadMsgCntReq(user_id=1).SerializeToString()
    client.send_raw(b"".join(parts) + pack(UNREAD_COUNT.service_id, UNREAD_COUNT.command_id, probe, seq_num=PROBE))
    came: list[Pdu] = []
    while True:
        pdu = client.receive()
        if pdu.seq_num == PROBE:
            return came
        came.append(pdu)


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # what failed once may have changed the stores: it could not be made smaller
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(asked=st.lists(requests(), min_size=12, max_size=40))
def test_every_reply_is_well_formed_and_names_a_request(
    proxy: ProxyProcess, client: Client, asked: list[tuple[Command[Any, Any], bytes]]
) -> None:
    for pdu in ask_all(client, asked):  # replies to an earlier list may come late; their seq_nums are of the same kind
        command = REPLIES[pdu.service_id, pdu.command_id]
        assert 1 <= pdu.seq_num <= 40
        assert (pdu.version, pdu.flag, pdu.reserved, pdu.length) == (1, 0, 0, HEADER_LENGTH + len(pdu.body))
        assert command.reply is not None
        assert command.reply.FromString(pdu.body).IsInitialized()
    assert proxy.running
    assert "Traceback" not in proxy.log()


def test_afterwards_everybody_is_served_as_before(proxy: ProxyProcess) -> None:
    with proxy.client() as other:
        stored = other.send_message(1, 2, "after all that")
        assert stored.msg_id
        assert other.messages(2, 1).msg_list[0].msg_data == b"after all that"
        assert [info.user_id for info in other.user_info([1, 2]).user_info_list] == [1, 2]
