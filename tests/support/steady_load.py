"""SteadyLoad: clients that send messages one after the other, each with a text of its own, and remember what was acknowledged."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import pymysql

from dbproxy.testing import Client, Stack
from dbproxy.testing.client import ConnectionClosedError
from dbproxy.testing.proxy import ProxyAddress
from dbproxy.testing.waiting import poll

if TYPE_CHECKING:
    from typing_extensions import Self

SHARDS = 8
PAUSE = 0.005
"""Seconds between a reply and the next message of a client."""


class Acknowledged(NamedTuple):
    """A message that the proxy has said to be stored."""

    pair: tuple[int, int]
    msg_id: int
    text: str


class SteadyLoad:
    """Two clients for each proxy and pair of users: all of them write to the same conversations. A context manager; when the block is left
    they have stopped. The lists may be read by any thread.
    """

    def __init__(self, proxies: Sequence[ProxyAddress], pairs: Sequence[tuple[int, int]] = ((1, 2), (3, 4))) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[tuple[float, str]] = []
        """Monotonic time and text of each message that was refused."""
        self.errors: list[str] = []
        """Anything but a reply."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, proxy, pair), daemon=True)
            for number, (proxy, pair) in enumerate((proxy, pair) for proxy in proxies for pair in pairs)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, count: int, timeout: float = 30) -> None:
        """Wait until so many more messages are acknowledged."""
        wanted = len(self.acknowledged) + count
        got = poll(lambda: len(self.acknowledged), lambda stored: stored >= wanted, timeout)
        assert got >= wanted, f"{wanted - got} of {count} messages are missing; refused: {len(self.refused)}; {self.errors[:3]}"

    def _run(self, number: int, proxy: ProxyAddress, pair: tuple[int, int]) -> None:
        try:
            with proxy.client(timeout=40) as client:
                self._send(number, client, pair)
        except (OSError, ConnectionClosedError, TimeoutError, AssertionError) as error:
            self.errors.append(repr(error))

    def _send(self, number: int, client: Client, pair: tuple[int, int]) -> None:
        sent = 0
        while not self._stop.is_set():
            sent += 1
            text = f"{number}.{sent}"
            sender, receiver = pair if number % 2 else pair[::-1]
            msg_id = client.send_message(sender, receiver, text).msg_id
            if msg_id:
                self.acknowledged.append(Acknowledged(pair, msg_id, text))
            else:
                self.refused.append((time.monotonic(), text))
            self._stop.wait(PAUSE)


def stored(stack: Stack) -> Counter[Acknowledged]:
    """All messages between people that the primary of ``stack`` has, and how many rows each has."""
    found: Counter[Acknowledged] = Counter()
    with contextlib.closing(stack.mysql()) as connection, connection.cursor(pymysql.cursors.Cursor) as cursor:
        for shard in range(SHARDS):
            cursor.execute(f"select smallId,bigId,msgId,content from IMMessage_{shard} m join IMRelationShip r on r.id=m.relateId")
            for small, big, msg_id, text in cursor.fetchall():
                found[Acknowledged((small, big), msg_id, text)] += 1
    return found


def assert_nothing_is_twice(load: SteadyLoad, rows: Counter[Acknowledged]) -> None:
    """No id was acknowledged twice or is stored twice in its conversation, and no acknowledged text has two rows."""
    assert [one for one, count in Counter((ack.pair, ack.msg_id) for ack in load.acknowledged).items() if count > 1] == []
    assert [one for one, count in Counter((row.pair, row.msg_id) for row in rows.elements()).items() if count > 1] == []
    texts = {ack.text for ack in load.acknowledged}
    assert [text for text, count in Counter(row.text for row in rows.elements()).items() if count > 1 and text in texts] == []
