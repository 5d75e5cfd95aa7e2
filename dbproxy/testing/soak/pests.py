"""Peers that misbehave: garbage, half PDUs, lengths out of this world, peers that send and never read, storms of connections."""

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

STRANGERS = range(900_000, 900_010)
"""User ids that nobody else uses."""

PATIENCE = 3.0
"""Seconds that a pest stays at most."""


class Pest:
    """Goes from one misdeed to the next, in a thread of its own; what the proxy does about it is its own affair, and the others must not
    notice. Public methods belong to the thread that made it.
    """

    def __init__(self, number: int, seed: str, choose_port: Callable[[random.Random], int]) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._choose_port = choose_port
        self._chance = random.Random(f"{seed}/pest/{number}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"soak-pest-{number}", daemon=True)
        self._misdeeds: tuple[Callable[[], None], ...] = (
            self._garbage,
            self._half,
            self._length,
            self._bodies,
            self._mutated,
            self._drip,
            self._deaf,
            self._storm,
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the misdeed that it is at."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(PATIENCE + 10)

    def _run(self) -> None:
        while not self._stop.wait(self._chance.uniform(0.05, 0.3)):
            misdeed = self._chance.choice(self._misdeeds)
            self.counts[misdeed.__name__.strip("_")] += 1
            try:
                misdeed()
            except OSError:
                self.counts["thrown out"] += 1  # as it should be
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not look like peace
                self.problems.append(f"pest: {error!r}")

    def _connect(self, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket()
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", self._choose_port(self._chance)))
        except BaseException:
            sock.close()
            raise
        return sock

    def _garbage(self) -> None:
        with self._connect() as sock:
            sock.sendall(self._chance.randbytes(self._chance.randint(1, 5000)))
            self._linger()

    def _half(self) -> None:
        whole = self._message()
        with self._connect() as sock:
            sock.sendall(whole[: self._chance.randint(1, len(whole) - 1)])
            self._linger()

    def _length(self) -> None:
        length = self._chance.choice((0, 1, 15, 17, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1))
        with self._connect() as sock:
            sock.sendall(HEADER.pack(length, 1, 0, 3, MSG_DATA.command_id, 1, 0) + b"x" * self._chance.randint(0, 100))
            self._linger()

    def _bodies(self) -> None:
        with self._connect() as sock:
            for command in COMMANDS.values():
                sock.sendall(pack(command.service_id, command.command_id, self._chance.randbytes(self._chance.randint(0, 60))))
            sock.sendall(pack(9, self._chance.randint(0, 0xFFFF), b""))
            self._linger()

    def _mutated(self) -> None:
        """A message with some bits turned in its body: whom it is from, whom to, of which type."""
        with self._connect() as sock:
            for _ in range(20):
                pdu = bytearray(self._message())
                for _ in range(self._chance.randint(1, 4)):
                    pdu[self._chance.randrange(HEADER.size, len(pdu))] ^= 1 << self._chance.randrange(8)
                sock.sendall(pdu)
            self._linger()

    def _drip(self) -> None:
        with self._connect() as sock:
            for byte in self._message():
                sock.sendall(bytes((byte,)))
                if self._stop.wait(0.01):
                    return

    def _deaf(self) -> None:
        """Asks for much and reads nothing of it."""
        request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0).SerializeToString()
        history = message_pb2.IMGetMsgListReq(
            user_id=1, session_type=GROUP, session_id=102, msg_id_begin=0, msg_cnt=100
        ).SerializeToString()
        pdus = pack(ALL_USERS.service_id, ALL_USERS.command_id, request) + pack(MSG_LIST.service_id, MSG_LIST.command_id, history)
        with self._connect(receive_buffer=4096) as sock:
            sock.settimeout(0.2)
            until = time.monotonic() + PATIENCE / 2
            for _ in range(200):
                if time.monotonic() > until:
                    break
                sock.sendall(pdus)
            self._linger()

    def _storm(self) -> None:
        socks: list[socket.socket] = []
        try:
            for _ in range(self._chance.randint(5, 60)):
                socks.append(self._connect())  # noqa: PERF401 - those that were opened must be closed when one fails
        finally:
            for sock in socks:
                sock.close()

    def _linger(self) -> None:
        self._stop.wait(self._chance.choice((0, 0, 0.1, 1)))

    def _message(self) -> bytes:
        sender, receiver = self._chance.sample(STRANGERS, 2)
        return pack(MSG_DATA.service_id, MSG_DATA.command_id, message(sender, receiver, "a pest's").SerializeToString(), seq_num=1)
