"""What the commands do when their output goes nowhere: closed, a full disk, a reader that has enough."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import dbproxy
from dbproxy.output import write_line

CODE = "from dbproxy.output import write_line; import sys; [write_line(sys.stdout, 'x' * 5000) for _ in range(99)]; sys.exit(7)"
NOWHERE = [">&-", ">/dev/full", "| head -c1"]


def shell(arguments: list[str], end: str) -> tuple[int, str]:
    """The exit code and stderr of Python with these arguments and its output directed by ``end``."""
    command = f'"$@" {end}\nexit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(dbproxy.__file__).parents[1],
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("end", NOWHERE)
def test_output_that_goes_nowhere_ends_no_tool(end: str) -> None:
    assert shell(["-c", CODE], end) == (7, "")


@pytest.mark.parametrize(("encoding", "written"), [("gbk", "明\\U0001f600"), ("ascii", "\\u660e\\U0001f600"), ("utf-8", "明😀")])
def test_what_the_character_set_of_the_output_does_not_have_is_written_as_escapes(encoding: str, written: str) -> None:
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding)
    write_line(stream, "明😀")
    assert data.getvalue().decode(encoding) == f"{written}\n"


@contextmanager
def answering(path: Path, *lines: object) -> Iterator[None]:
    """A control socket that answers one request with these lines."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(30)


@pytest.mark.parametrize(("end", "reason"), [(">&-", "standard output is closed"), (">/dev/full", "No space left on device")])
def test_dbproxy_ctl_says_that_its_output_cannot_be_written(tmp_path: Path, end: str, reason: str) -> None:
    path = tmp_path / "a.sock"
    with answering(path, {"item": {}}, {"ok": True}):
        result = shell(["-m", "dbproxy.ops.ctl", "--socket", str(path), "--json", "status"], end)
    assert result == (1, f"dbproxy-ctl: the output cannot be written: {reason}\n")


@pytest.mark.parametrize("item", [{}, [1], None, {"pools": 5, "requests": []}])
def test_dbproxy_ctl_says_that_it_does_not_understand_the_answer_of_another_version(tmp_path: Path, item: object) -> None:
    path = tmp_path / "a.sock"
    with answering(path, {"item": item}, {"ok": True}):
        code, text = shell(["-m", "dbproxy.ops.ctl", "--socket", str(path), "status"], "")
    assert code == 1
    assert text.startswith(f"dbproxy-ctl: {path}: the answer is not understood, so the proxy is of another version")
    assert len(text.splitlines()) == 1
