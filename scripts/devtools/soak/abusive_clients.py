"""Abusive clients: random bytes, incomplete PDUs, invalid lengths, clients that never read, bursts of connections."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from dbproxy.testing.client import pack
from dbproxy.testing.requests import GROUP, message
from dbproxy.wire.commands import ALL_USERS, COMMANDS, MSG_DATA, MSG_LIST
from dbproxy.wire.pb import buddy_pb2, message_pb2
from dbproxy.wire.pdu import HEADER

USERS = range(900_000, 900_010)
"""User ids that no other client uses."""

MAX_SECONDS = 3.0
"""Seconds that an action takes at most."""


class AbusiveClient:
    """Runs one random action after the other in a thread of its own. The proxy may close its connections; other clients must not be
    affected. Public methods belong to the thread that created it.
    """

    def __init__(self, number: int, seed: str, choose_port: Callable[[random.Random], int]) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._choose_port = choose_port
        self._rng = random.Random(f"{seed}/abusive/{number}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"soak-abusive-{number}", daemon=True)
        self._actions: tuple[Callable[[], None], ...] = (
            self._random_bytes,
            self._incomplete_pdu,
            self._invalid_length,
            self._random_bodies,
            self._mutated_messages,
            self._single_bytes,
            self._never_read,
            self._connection_burst,
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its current action."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the thread."""
        self._thread.join(MAX_SECONDS + 10)

    def _run(self) -> None:
        while not self._stop.wait(self._rng.uniform(0.05, 0.3)):
            action = self._rng.choice(self._actions)
            self.counts[action.__name__.strip("_")] += 1
            try:
                action()
            except OSError:
                self.counts["connections closed"] += 1  # the proxy may do so
            except Exception as error:  # noqa: BLE001 - a bug of this client must not go unnoticed
                self.problems.append(f"abusive client: {error!r}")

    def _connect(self, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket()
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(MAX_SECONDS)
            sock.connect(("127.0.0.1", self._choose_port(self._rng)))
        except BaseException:
            sock.close()
            raise
        return sock

    def _random_bytes(self) -> None:
        with self._connect() as sock:
            sock.sendall(self._rng.randbytes(self._rng.randint(1, 5000)))
            self._keep_open()

    def _incomplete_pdu(self) -> None:
        whole = self._message()
        with self._connect() as sock:
            sock.sendall(whole[: self._rng.randint(1, len(whole) - 1)])
            self._keep_open()

    def _invalid_length(self) -> None:
        length = self._rng.choice((0, 1, 15, 17, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1))
        with self._connect() as sock:
            sock.sendall(HEADER.pack(length, 1, 0, 3, MSG_DATA.command_id, 1, 0) + b"x" * self._rng.randint(0, 100))
            self._keep_open()

    def _random_bodies(self) -> None:
        with self._connect() as sock:
            for command in COMMANDS.values():
                sock.sendall(pack(command.service_id, command.command_id, self._rng.randbytes(self._rng.randint(0, 60))))
            sock.sendall(pack(9, self._rng.randint(0, 0xFFFF), b""))
            self._keep_open()

    def _mutated_messages(self) -> None:
        """Send messages with some bits of the body inverted: sender, receiver, type."""
        with self._connect() as sock:
            for _ in range(20):
                pdu = bytearray(self._message())
                for _ in range(self._rng.randint(1, 4)):
                    pdu[self._rng.randrange(HEADER.size, len(pdu))] ^= 1 << self._rng.randrange(8)
                sock.sendall(pdu)
            self._keep_open()

    def _single_bytes(self) -> None:
        with self._connect() as sock:
            for byte in self._message():
                sock.sendall(bytes((byte,)))
                if self._stop.wait(0.01):
                    return

    def _never_read(self) -> None:
        """Request much data and read none of it."""
        request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0).SerializeToString()
        history = message_pb2.IMGetMsgListReq(
            user_id=1, session_type=GROUP, session_id=102, msg_id_begin=0, msg_cnt=100
        ).SerializeToString()
        pdus = pack(ALL_USERS.service_id, ALL_USERS.command_id, request) + pack(MSG_LIST.service_id, MSG_LIST.command_id, history)
        with self._connect(receive_buffer=4096) as sock:
            sock.settimeout(0.2)
            until = time.monotonic() + MAX_SECONDS / 2
            for _ in range(200):
                if time.monotonic() > until:
                    break
                sock.sendall(pdus)
            self._keep_open()

    def _connection_burst(self) -> None:
        socks: list[socket.socket] = []
        try:
            for _ in range(self._rng.randint(5, 60)):
                socks.append(self._connect())  # noqa: PERF401 - those that were opened must be closed when one fails
        finally:
            for sock in socks:
                sock.close()

    def _keep_open(self) -> None:
        self._stop.wait(self._rng.choice((0, 0, 0.1, 1)))

    def _message(self) -> bytes:
        sender, receiver = self._rng.sample(USERS, 2)
        return pack(
            MSG_DATA.service_id, MSG_DATA.command_id, message(sender, receiver, "from an abusive client").SerializeToString(), seq_num=1
        )
