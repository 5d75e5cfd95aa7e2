"""Heartbeats on a real connection, with a short interval: after silence, not instead of traffic, and never as an answer."""

from __future__ import annotations

import pytest

from dbproxy.testing import InProcessProxy, Pdu
from dbproxy.testing.waiting import poll
from dbproxy.wire.commands import HEARTBEAT_COMMAND_ID


@pytest.mark.dbproxy(HeartbeatInterval=1, PeerTimeout=30)
def test_only_silent_peers_get_heartbeats_and_none_is_answered(dbproxy_proxy: InProcessProxy) -> None:
    with dbproxy_proxy.client(notices=True) as silent, dbproxy_proxy.client(notices=True) as busy:

        def heartbeat() -> Pdu | None:
            assert busy.unread(1).user_id == 1  # request() leaves notices for receive()
            busy.send_heartbeat()
            return None if silent.silent(0.05) else silent.receive()

        beat = poll(heartbeat, lambda pdu: pdu is not None)
        assert beat is not None
        assert busy.silent(0.05)
    header = (beat.length, beat.version, beat.flag, beat.service_id, beat.command_id, beat.seq_num, beat.reserved, beat.body)
    assert header == (16, 1, 0, 7, HEARTBEAT_COMMAND_ID, 0, 0, b"")
