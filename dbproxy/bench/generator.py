"""The load generator, a process of its own: ``python -m dbproxy.bench.generator``, standard library only.

It must use little CPU, because it shares the machine with what it measures: requests are given as complete PDUs, only the seq_num is
written into each, and of a reply only the header is read. A closed loop: each reply triggers the next request.

On stdin it gets one line of JSON (a :class:`Job`) and then the requests, PDU after PDU. On stdout it writes ``begin`` and ``end`` when the
measured time begins and ends, and then one line of JSON (an :class:`Outcome`).
"""

from __future__ import annotations

import base64
import json
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

HEADER_LENGTH = 16
SEQ_NUMS = 60_000
"""How many seq_nums are used in turn on a connection; far more than requests can be in flight on it."""

NOTICES = frozenset((0x0701, 0x0702))
"""Command ids of unsolicited PDUs of the proxy: heartbeat and stop packet."""

SAMPLE_EVERY = 37
MAX_SAMPLES = 400
"""One reply of so many is kept, at most ``MAX_SAMPLES``, so that the parent can check the contents."""

QUANTILES = 1000
"""Steps of ``Outcome.quantiles``."""

DRAIN = 10.0
"""Seconds to wait for outstanding replies after the measured time."""


@dataclass
class Job:
    """What to send: ``in_flight`` requests at a time over ``connections``, for ``warm`` seconds and then for ``seconds`` measured ones.

    ``in_turn``: the next request is sent on the next connection instead of the one that got the reply. ``count``: stop after so many
    replies, whatever the time (0: no such limit). ``more_ports``: further proxies on the same host; the connections are to all of them in
    turn, beginning with ``port``.
    """

    host: str
    port: int
    connections: int
    in_flight: int
    warm: float
    seconds: float
    in_turn: bool = False
    count: int = 0
    more_ports: list[int] = field(default_factory=list)


@dataclass
class Outcome:
    """The result; times in seconds. ``samples`` are replies as base64, ``unanswered`` is the number of requests without a reply, ``closed``
    the number of connections that the proxy closed. ``quantiles``: the latencies at 0, 1/QUANTILES, ... 1, from which those of several
    generators are put together.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    bytes_received: int
    unanswered: int
    closed: int
    samples: list[str]
    quantiles: list[float]

    @property
    def per_second(self) -> float:
        """Replies per second."""
        return self.requests / self.seconds if self.seconds else 0.0


class _Connection:
    """A socket, the incomplete PDU that was received last, and when each request in flight was sent (0: none with this seq_num)."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.seq_num = 0
        self.sent_at = [0.0] * (SEQ_NUMS + 1)


class Generator:
    """One measurement. Belongs to one thread."""

    def __init__(self, job: Job, frames: list[bytearray]) -> None:
        self._job = job
        self._frames = frames
        self._next_frame = 0
        self._selector = selectors.DefaultSelector()
        self._ring: list[_Connection] = []
        self._turn = 0
        self._outstanding = 0
        self._closed = 0
        self._received = 0
        self._latencies: list[float] = []
        self._samples: list[bytes] = []

    def run(self, report: Callable[[str], None]) -> Outcome:
        """Measure; call ``report`` with ``begin`` and ``end`` when the measured time begins and ends."""
        job = self._job
        ports = [job.port, *job.more_ports]
        for number in range(job.connections):
            connection = _Connection(job.host, ports[number % len(ports)])
            self._ring.append(connection)
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            if number % 50 == 49:
                time.sleep(0.01)  # a listener's queue is short
        try:
            return self._measure(report)
        finally:
            self._selector.close()
            for connection in self._ring:
                connection.socket.close()

    def _measure(self, report: Callable[[str], None]) -> Outcome:
        job, clock = self._job, time.perf_counter
        for number in range(job.in_flight):
            self._send(self._ring[number % len(self._ring)], 1)
        end = clock() + job.warm
        while clock() < end and not self._closed:
            self._handle_events(end - clock(), refill=True)
        self._latencies.clear()
        self._samples.clear()
        self._received = 0
        report("begin")
        begin = clock()
        end = begin + job.seconds
        while (now := clock()) < end and self._outstanding and not (job.count and len(self._latencies) >= job.count):
            self._handle_events(end - now, refill=True)
        seconds = clock() - begin
        report("end")
        latencies = sorted(self._latencies)
        received = self._received
        deadline = clock() + DRAIN
        while self._outstanding and (now := clock()) < deadline and self._selector.get_map():
            self._handle_events(deadline - now, refill=False)
        return Outcome(
            len(latencies),
            seconds,
            quantile(latencies, 0.5),
            quantile(latencies, 0.99),
            received,
            self._outstanding,
            self._closed,
            [base64.b64encode(sample).decode() for sample in self._samples[:MAX_SAMPLES]],
            [quantile(latencies, number / QUANTILES) for number in range(QUANTILES + 1)],
        )

    def _handle_events(self, timeout: float, *, refill: bool) -> None:
        for key, _ in self._selector.select(max(0.0, timeout)):
            connection: _Connection = key.data
            try:
                data = connection.socket.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                self._closed += 1
                self._selector.unregister(connection.socket)
                continue
            answered = self._read(connection, data)
            if answered and refill:
                self._send(connection, answered)

    def _read(self, connection: _Connection, data: bytes) -> int:
        """Read the PDUs in ``data``; return how many requests they answer."""
        now = time.perf_counter()
        self._received += len(data)
        data = connection.buffer + data
        sent_at, latencies = connection.sent_at, self._latencies
        position, size, answered = 0, len(data), 0
        while size - position >= HEADER_LENGTH:
            length = int.from_bytes(data[position : position + 4], "big")
            if length < HEADER_LENGTH:
                raise ValueError(f"the proxy has sent a PDU of {length} bytes, which is shorter than its header")
            if size - position < length:
                break
            seq_num = int.from_bytes(data[position + 12 : position + 14], "big")
            sent = sent_at[seq_num] if seq_num <= SEQ_NUMS else 0.0
            if sent and int.from_bytes(data[position + 10 : position + 12], "big") not in NOTICES:
                sent_at[seq_num] = 0.0
                latencies.append(now - sent)
                answered += 1
                if len(latencies) % SAMPLE_EVERY == 1 and len(self._samples) < MAX_SAMPLES:
                    self._samples.append(data[position : position + length])
            position += length
        connection.buffer = data[position:]
        self._outstanding -= answered
        return answered

    def _send(self, connection: _Connection, count: int) -> None:
        if self._job.in_turn and len(self._ring) > 1:
            for _ in range(count):
                self._turn = (self._turn + 1) % len(self._ring)
                self._send_on(self._ring[self._turn], 1)
        else:
            self._send_on(connection, count)

    def _send_on(self, connection: _Connection, count: int) -> None:
        out = bytearray()
        frames, now = self._frames, time.perf_counter()
        for _ in range(count):
            frame = frames[self._next_frame]
            self._next_frame = (self._next_frame + 1) % len(frames)
            connection.seq_num = connection.seq_num % SEQ_NUMS + 1
            frame[12:14] = connection.seq_num.to_bytes(2, "big")
            connection.sent_at[connection.seq_num] = now
            out += frame
        try:
            connection.socket.sendall(out)
        except OSError:
            return  # the next read detects that it is closed
        finally:
            self._outstanding += count


def quantile(ordered: list[float], part: float) -> float:
    """Return the quantile ``part`` (0 to 1) of ordered values; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def combined(outcomes: list[Outcome]) -> Outcome:
    """Return the outcome of generators that ran at the same time as that of one. The latencies are weighted by how many each has seen."""
    if len(outcomes) == 1:
        return outcomes[0]
    weighted = sorted((latency, outcome.requests) for outcome in outcomes for latency in outcome.quantiles)
    total = sum(weight for _, weight in weighted)
    merged, passed, wanted = [], 0, 0
    for latency, weight in weighted:
        passed += weight
        while wanted <= QUANTILES and passed * QUANTILES >= wanted * total:
            merged.append(latency)
            wanted += 1
    requests = sum(outcome.requests for outcome in outcomes)
    rate = sum(outcome.per_second for outcome in outcomes)
    return Outcome(
        requests,
        requests / rate if rate else max(outcome.seconds for outcome in outcomes),
        quantile(merged, 0.5),
        quantile(merged, 0.99),
        sum(outcome.bytes_received for outcome in outcomes),
        sum(outcome.unanswered for outcome in outcomes),
        sum(outcome.closed for outcome in outcomes),
        [sample for outcome in outcomes for sample in outcome.samples][:MAX_SAMPLES],
        merged,
    )


def split_pdus(data: bytes) -> list[bytearray]:
    """Split concatenated PDUs."""
    frames = []
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        frames.append(bytearray(data[position : position + length]))
        position += length
    return frames


def main() -> None:
    """Run the job that stdin describes."""
    job = Job(**json.loads(sys.stdin.buffer.readline()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < job.connections + 64:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    generator = Generator(job, split_pdus(sys.stdin.buffer.read()))

    def report(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    report(json.dumps(asdict(generator.run(report))))


if __name__ == "__main__":
    main()
