"""A saved session: lines of JSON, one for each PDU and each event of a connection, with the bodies as they were. One thread.

The first line says what the file is. The bodies hold everything that users have written, and their (hashed) passwords: a new file can be
read by its owner only.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from dbproxy import __version__
from dbproxy.errors import DbproxyError
from dbproxy.tap.pdus import Notice, Side, TappedPdu
from dbproxy.wire.pdu import ImPdu
from dbproxy.wire.pdu_kinds import find_kind

FORMAT = "dbproxy-tap session 1"

_MAX_LINE = 256 * 1024 * 1024
"""Characters of a line: a PDU of the largest size in hexadecimal digits, and more."""


class SessionFileError(DbproxyError):
    """A file that cannot be used as a session; the text says why."""


class SessionWriter:
    """Writes a session; each line is in the file when a method returns."""

    def __init__(self, path: Path | str, server: str) -> None:
        """``server``: the address that the tap forwards to. OSError if the file cannot be made. A regular file of this name is replaced by
        a new one, so that nobody who has the former one open, or may read it, reads this.
        """
        if Path(path).is_symlink() or (Path(path).exists() and not Path(path).is_file()):
            raise OSError(errno.EINVAL, "it is no regular file")
        new = f"{os.fspath(path)}.{secrets.token_hex(4)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            Path(new).replace(path)
        except OSError:
            os.close(descriptor)
            Path(new).unlink()
            raise
        self._file: TextIO = os.fdopen(descriptor, "w", encoding="utf-8")
        self._write({"format": FORMAT, "version": __version__, "server": server})

    def write(self, item: TappedPdu | Notice) -> None:
        """Write a PDU or an event."""
        if isinstance(item, Notice):
            self._write({"time": item.time, "connection": item.connection, "event": item.text})
            return
        pdu = item.pdu
        line: dict[str, Any] = {"time": item.time, "connection": item.connection, "from": item.sender, "number": item.number}
        line |= {"command": item.name, "service_id": pdu.service_id, "command_id": pdu.command_id, "seq_num": pdu.seq_num}
        if item.answers is not None:
            line |= {"answers": item.answers, "latency": item.latency}
        self._write({**line, "body": pdu.body.hex()})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()


def read_session(path: Path | str) -> Iterator[TappedPdu]:
    """Yield the PDUs of a saved session in their order. A last line that is cut off, as after a crash, is left out.

    Raises:
        SessionFileError: the file cannot be read or is no session; it names the line.

    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            head = file.readline(_MAX_LINE)
            if _parsed(head, path, 1).get("format") != FORMAT:
                raise SessionFileError(f"{path}: not a session that dbproxy-tap has saved")
            number = 1
            while line := file.readline(_MAX_LINE):
                number += 1
                if not line.endswith("\n"):
                    return
                item = _parsed(line, path, number)
                if "event" not in item:
                    yield _pdu(item, path, number)
    except OSError as error:
        raise SessionFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SessionFileError(f"{path}: not a session that dbproxy-tap has saved") from None


def _parsed(line: str, path: Path | str, number: int) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError:
        item = None
    if not isinstance(item, dict):
        raise SessionFileError(f"{path}:{number}: not a line of a session")
    return item


def _pdu(item: dict[str, Any], path: Path | str, number: int) -> TappedPdu:
    try:
        sender: Side = "client" if item["from"] == "client" else "server"
        pdu = ImPdu(int(item["service_id"]), int(item["command_id"]), int(item["seq_num"]), bytes.fromhex(item["body"]))
        answers = item.get("answers")
        return TappedPdu(
            float(item["time"]), int(item["connection"]), sender, pdu, find_kind(pdu.command_id), int(item["number"]),
            None if answers is None else int(answers), item.get("latency"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise SessionFileError(f"{path}:{number}: {type(error).__name__}: {error}") from None
