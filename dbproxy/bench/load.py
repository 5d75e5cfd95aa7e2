"""One measurement of the benchmark: the generator sends a workload while the CPU time of all processes is sampled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dbproxy
from dbproxy.bench.generator import Job, Outcome
from dbproxy.bench.site import Site
from dbproxy.bench.usage import Sample, Usage, sample, usage
from dbproxy.errors import DbproxyError

GENERATOR = "generator"

FSYNC_COUNTERS = ("Innodb_os_log_fsyncs", "Innodb_data_fsyncs")
"""Status variables that count fsyncs; the first one that the server has is used."""


class GeneratorError(DbproxyError):
    """The load generator failed."""


@dataclass(frozen=True)
class Measured:
    """The generator's result, the CPU usage meanwhile, and what the database did per second."""

    outcome: Outcome
    usage: Usage
    fsyncs_per_second: float
    commits_per_second: float


def measure(site: Site, job: Job, frames: Sequence[bytes], processes: Mapping[str, Sequence[int]]) -> Measured:
    """Run a generator against the site.

    Raises:
        GeneratorError: it could not connect, or it died.

    """
    root = Path(dbproxy.__file__).parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); from dbproxy.bench.generator import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as generator:
        if generator.stdin is None or generator.stdout is None or generator.stderr is None:
            raise AssertionError("the generator was started without pipes")
        try:
            all_processes = {**processes, GENERATOR: [generator.pid]}
            try:
                generator.stdin.write(json.dumps(asdict(job)).encode() + b"\n" + b"".join(frames))
                generator.stdin.close()
            except BrokenPipeError:
                pass  # stderr has the reason
            samples: list[Sample] = []
            states: list[dict[str, int]] = []
            outcome = None
            for line in generator.stdout:
                if line in (b"begin\n", b"end\n"):
                    samples.append(sample(all_processes))
                    states.append(site.status())
                else:
                    outcome = Outcome(**json.loads(line))
        finally:
            generator.stdout.close()
            stderr_text = "" if generator.poll() is None and outcome is None else generator.stderr.read().decode(errors="replace")
            if outcome is None:
                generator.kill()
                stderr_text = stderr_text or generator.stderr.read().decode(errors="replace")
    if outcome is None or len(samples) != 2:
        raise GeneratorError(f"the load generator failed: {stderr_text.strip().splitlines()[-1:] or generator.returncode}")
    seconds = max(samples[1].at - samples[0].at, 1e-9)
    fsyncs = next((name for name in FSYNC_COUNTERS if name in states[0]), "")
    return Measured(
        outcome,
        usage(*samples),
        (states[1].get(fsyncs, 0) - states[0].get(fsyncs, 0)) / seconds,
        (states[1].get("Com_commit", 0) - states[0].get("Com_commit", 0)) / seconds,
    )
