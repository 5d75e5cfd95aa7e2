"""One measurement of the benchmark: generators send a workload while the CPU time of all processes is sampled."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import dbproxy
from dbproxy.bench.generator import DRAIN, Job, Outcome, combined
from dbproxy.bench.site import Site
from dbproxy.bench.usage import Sample, Usage, sample, usage
from dbproxy.errors import DbproxyError

GENERATOR = "generator"

CONNECT, SLACK = 60.0, 30.0
"""Seconds that a generator may take for its connections, and more than it should take in all."""

FSYNC_COUNTERS = ("Innodb_os_log_fsyncs", "Innodb_data_fsyncs")
"""Status variables that count fsyncs; the first one that the server has is used."""


class GeneratorError(DbproxyError):
    """The load generator failed."""


@dataclass(frozen=True)
class Measured:
    """The generators' result, the CPU usage meanwhile, and what the database did per second."""

    outcome: Outcome
    usage: Usage
    fsyncs_per_second: float
    commits_per_second: float
    generators: int = 1
    """Processes that sent the load; each can use one core."""


def measure(site: Site, job: Job, frames: Sequence[bytes], processes: Mapping[str, Sequence[int]], generators: int = 1) -> Measured:
    """Run generators against the site, which share the connections and the requests in flight.

    Raises:
        GeneratorError: one could not connect, or it died.

    """
    with ExitStack() as exits:
        running = [exits.enter_context(_Generator(part)) for part in _parts(job, generators)]
        all_processes = {**processes, GENERATOR: [generator.pid for generator in running]}
        lines: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        for number, generator in enumerate(running):
            # each begins with another request, so that they do not send the same ones at the same time
            first = number * len(frames) // len(running)
            generator.begin([*frames[first:], *frames[:first]], number, lines)
        samples: list[Sample] = []
        states: list[dict[str, int]] = []
        outcomes: dict[int, Outcome] = {}
        begun = 0
        deadline = time.monotonic() + CONNECT + job.warm + job.seconds + DRAIN + SLACK
        while len(outcomes) < len(running):
            try:
                number, line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise GeneratorError("the load generator did not end in time") from None
            begun += line == b"begin\n"
            if (line == b"begin\n" and begun == len(running)) or (line == b"end\n" and len(samples) == 1):
                samples.append(sample(all_processes))
                states.append(site.status())
            elif not line and number not in outcomes:
                raise GeneratorError(f"the load generator failed: {running[number].complaint()}")
            elif line not in (b"", b"begin\n", b"end\n"):
                outcomes[number] = Outcome(**json.loads(line))
    if len(samples) != 2:
        raise GeneratorError("the load generators did not run at the same time")
    seconds = max(samples[1].at - samples[0].at, 1e-9)
    fsyncs = next((name for name in FSYNC_COUNTERS if name in states[0]), "")
    return Measured(
        combined(list(outcomes.values())),
        usage(*samples),
        (states[1].get(fsyncs, 0) - states[0].get(fsyncs, 0)) / seconds,
        (states[1].get("Com_commit", 0) - states[0].get("Com_commit", 0)) / seconds,
        len(running),
    )


def _parts(job: Job, generators: int) -> list[Job]:
    """Divide a job; each part has at least one connection and one request in flight."""
    count = max(1, min(generators, job.in_flight, job.connections))
    parts = []
    for number in range(count):
        connections, in_flight = (total // count + (number < total % count) for total in (job.connections, job.in_flight))
        parts.append(replace(job, connections=connections, in_flight=in_flight))
    return parts


class _Generator:
    """A generator's process."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> _Generator:
        root = Path(dbproxy.__file__).parents[1]
        program = f"import sys; sys.path.insert(0, {str(root)!r}); from dbproxy.bench.generator import main; main()"
        command = [sys.executable, "-c", program]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._reader: threading.Thread | None = None
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, frames: Sequence[bytes], number: int, lines: queue.SimpleQueue[tuple[int, bytes]]) -> None:
        """Give it its requests; ``lines`` gets its number with each line that it says, and with an empty one at its end."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the generator was started without pipes")
        try:
            process.stdin.write(json.dumps(asdict(self._job)).encode() + b"\n" + b"".join(frames))
            process.stdin.close()
        except BrokenPipeError:
            pass  # stderr has the reason
        output = process.stdout

        def listen() -> None:
            for line in output:
                lines.put((number, line))
            lines.put((number, b""))

        self._reader = threading.Thread(target=listen, daemon=True)
        self._reader.start()

    def complaint(self) -> str:
        """The last line of what it says about its end."""
        self._process.kill()
        text = "" if self._process.stderr is None else self._process.stderr.read().decode(errors="replace")
        return (text.strip().splitlines() or [f"it ended with status {self._process.wait()}"])[-1]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
