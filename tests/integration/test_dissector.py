"""protos/teamtalk.lua in tshark, on captures of real traffic."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbproxy.testing import InProcessProxy, Stack
from dbproxy.testing.client import pack
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import login_pb2
from devtools.dissector import DISSECTOR, make

TSHARK = shutil.which("tshark")

needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed (apt-get install tshark)")


def test_it_is_what_the_messages_of_the_protocol_make() -> None:
    """If not: scripts/generate_dissector."""
    assert DISSECTOR.read_text(encoding="utf-8") == make()


class Capture:
    """What passes on a port of the loopback interface while ``during`` runs, as tshark and the dissector show it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, port: int, during: Callable[[], None]) -> None:
        command = [str(TSHARK), "-q", "-l", "-i", "lo", "-f", f"tcp port {port}", "-w", str(self._path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            said: list[str] = []
            started = threading.Event()

            def listen() -> None:
                assert process.stderr is not None
                for line in process.stderr:
                    said.append(line)
                    if "Capturing on" in line or "permission" in line:
                        started.set()
                started.set()

            reader = threading.Thread(target=listen)
            reader.start()
            try:
                assert started.wait(30)
                if process.poll() is not None or any("permission" in line for line in said):
                    pytest.skip("may not capture on the loopback interface: " + said[-1].strip())
                self._until_captured(port, during)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(30)
                reader.join()

    def _until_captured(self, port: int, during: Callable[[], None]) -> None:
        """tshark says that it captures before it does: attempts to connect are sent until one is in the file."""
        for _ in range(100):
            with socket.socket() as probe:
                probe.connect_ex(("127.0.0.1", port))
            if self._path.exists() and self._path.stat().st_size > 1000:
                break
            threading.Event().wait(0.1)
        during()
        size = -1
        for _ in range(50):  # what has passed is written within moments
            threading.Event().wait(0.2)
            if self._path.stat().st_size == size:
                return
            size = self._path.stat().st_size

    def shown(self, *arguments: str) -> str:
        command = [str(TSHARK), "-X", f"lua_script:{DISSECTOR}", "-r", str(self._path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "Lua" not in done.stderr
        return done.stdout

    def packets(self) -> Iterator[dict[str, Any]]:
        """Each PDU's fields, by name."""
        for packet in json.loads(self.shown("-T", "json", "--no-duplicate-keys", "-Y", "teamtalk")):
            layer = packet["_source"]["layers"]["teamtalk"]
            yield from layer if isinstance(layer, list) else [layer]


@needs_tshark
@pytest.mark.data(users=["alice", "bob"])
def test_pdus_of_a_proxy_are_decoded_field_by_field(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    capture = Capture(tmp_path / "capture.pcapng")

    def talk() -> None:
        with dbproxy_proxy.client() as client:
            client.send_message(1, 2, "你好")
            client.all_users(1)
            client.device_tokens([])
            client.send_message(1, 2, "x" * 4000 * 20)  # refused; it needs several segments
            client.send_raw(pack(base.SID_MSG, 0x03FF, b"") + pack(base.SID_MSG, base.CID_MSG_READ_ACK, b"\x08"))
            client.unread(2)

    capture.record(dbproxy_proxy.port, talk)
    packets = list(capture.packets())
    assert [packet["teamtalk.command"] for packet in packets[:4]] == ["0x0301", "0x0301", "0x0208", "0x0209"]
    request, reply = packets[:2]
    message = request["teamtalk.message_tree"]
    assert message["teamtalk.IMMsgData.from_user_id"] == "1"
    assert message["teamtalk.IMMsgData.to_session_id"] == "2"
    assert message["teamtalk.IMMsgData.msg_type"] == "1"
    assert bytes.fromhex(message["teamtalk.IMMsgData.msg_data"].replace(":", "")).decode() == "你好"
    assert reply["teamtalk.message_tree"]["teamtalk.IMMsgData.msg_id"] == "1"
    assert 0 < float(reply["teamtalk.time"]) < 30
    users = packets[3]["teamtalk.message_tree"]["teamtalk.IMAllUserRsp.user_list_tree"]
    assert [user["teamtalk.UserInfo.user_domain"] for user in users] == ["alice", "bob"]
    long = [packet for packet in packets if int(packet["teamtalk.length"]) > 80_000]
    assert len(long) == 2
    details = capture.shown("-V", "-Y", "teamtalk")
    assert "Lua Error" not in details
    assert "The protocol has no such command" in details
    assert details.count("[Expert Info (Error/Malformed): The body does not parse]") == 1
    filtered = capture.shown("-Y", "teamtalk.IMMsgData.msg_id == 1", "-T", "fields", "-e", "teamtalk.seq")
    assert filtered.split() == ["1"]


@needs_tshark
def test_traffic_of_another_server_is_recognized_on_any_port(tmp_path: Path) -> None:
    login = login_pb2.IMLoginReq(
        user_name="alice", password="p", online_status=base.USER_STATUS_ONLINE, client_type=base.CLIENT_TYPE_IOS, client_version="1"
    )
    kick = login_pb2.IMKickUser(user_id=1, kick_reason=base.KICK_REASON_DUPLICATE_USER)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            with socket.create_connection(server.getsockname(), 10) as client:
                client.sendall(pack(base.SID_LOGIN, base.CID_LOGIN_REQ_USERLOGIN, login.SerializeToString(), seq_num=9))
                while True:
                    accepted, _ = server.accept()
                    with accepted:
                        if accepted.recv(1000):
                            accepted.sendall(pack(base.SID_LOGIN, base.CID_LOGIN_KICK_USER, kick.SerializeToString()))
                            return

        capture = Capture(tmp_path / "capture.pcapng")
        capture.record(server.getsockname()[1], talk)
    summary = capture.shown("-Y", "teamtalk", "-T", "fields", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info").splitlines()
    assert summary == ["TeamTalk\tCID_LOGIN_REQ_USERLOGIN seq=9", "TeamTalk\tCID_LOGIN_KICK_USER seq=0"]
    details = capture.shown("-V", "-Y", "teamtalk")
    assert "client_type: CLIENT_TYPE_IOS (17)" in details
    assert "kick_reason: KICK_REASON_DUPLICATE_USER (1)" in details
