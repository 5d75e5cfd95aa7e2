"""Viewer: the process that shows what the forwarder tells: as text, as lines of JSON, or as a saved session. One thread."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from dbproxy.tap.pdus import Conversations, Notice, TappedPdu
from dbproxy.tap.records import Unpacker
from dbproxy.tap.selection import Selection
from dbproxy.tap.session_file import SessionWriter
from dbproxy.wire.decode import decode

READ_SIZE = 1 << 20

_ARROWS = {"client": "->", "server": "<-"}


class Viewer:
    """Shows PDUs until the stream of records ends."""

    def __init__(
        self, stream: socket.socket, selection: Selection, text: Callable[[TappedPdu | Notice], str], session: SessionWriter | None
    ) -> None:
        """``text`` makes lines of what is selected, and of every notice, for stdout; ``session`` gets the same, with all requests and
        answers, however fast these were. If nobody reads stdout any more, what is saved goes on.
        """
        self._prints = True
        self._stream = stream
        self._selection = selection
        self._text = text
        self._session = session
        self.passed: Counter[str] = Counter()
        """Command → PDUs that have passed, selected or not."""

    def run(self) -> None:
        """Show everything until the stream ends."""
        conversations, unpacker = Conversations(), Unpacker()
        while data := self._stream.recv(READ_SIZE):
            for record in unpacker.feed(data):
                for item in conversations.take(record):
                    saved, shown = True, True
                    if isinstance(item, TappedPdu):
                        self.passed[item.name] += 1
                        saved, shown = self._selection.takes(item)
                    if saved and self._session is not None:
                        self._session.write(item)
                    if shown:
                        self._print(self._text(item) + "\n")
            self._print("")
        if self._session is not None:
            self._session.close()

    def _print(self, text: str) -> None:
        """Print; an empty text lets everything be seen. BrokenPipeError when nobody reads any more and nothing is saved."""
        if not self._prints:
            return
        try:
            sys.stdout.write(text) if text else sys.stdout.flush()
        except BrokenPipeError:
            if self._session is None:
                raise
            self._prints = False


def as_text(contents: bool) -> Callable[[TappedPdu | Notice], str]:
    """Return what makes a line of text of an item. Without ``contents`` the texts in PDUs are shown as their lengths."""

    def text(item: TappedPdu | Notice) -> str:
        head = f"{clock(item.time)} #{item.connection}"
        if isinstance(item, Notice):
            return f"{head} -- {item.text}"
        parts = [head, _ARROWS[item.sender], item.name, f"seq={item.pdu.seq_num}"]
        if item.latency is not None:
            parts.append(f"after {item.latency * 1000:.3f} ms")
        if item.kind is None:
            return " ".join([*parts, f"unknown command, {len(item.pdu.body)} bytes"])
        shown = decode(item.kind.message, item.pdu.body, contents=contents)
        parts.append(f"{shown['message']} ({shown['bytes']} bytes)")
        if "problem" in shown:
            parts.append(shown["problem"])
        parts += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in shown.get("fields", {}).items()]
        return " ".join(parts)

    return text


def as_json(contents: bool) -> Callable[[TappedPdu | Notice], str]:
    """Return what makes a line of JSON of an item; ``contents`` as for ``as_text``."""

    def text(item: TappedPdu | Notice) -> str:
        if isinstance(item, Notice):
            return json.dumps({"time": item.time, "connection": item.connection, "event": item.text}, ensure_ascii=False)
        shown: dict[str, Any] = {"time": item.time, "connection": item.connection, "from": item.sender, "number": item.number}
        shown |= {"command": item.name, "service_id": item.pdu.service_id, "command_id": item.pdu.command_id, "seq_num": item.pdu.seq_num}
        if item.answers is not None:
            shown |= {"answers": item.answers, "latency": item.latency}
        body = {"bytes": len(item.pdu.body)} if item.kind is None else decode(item.kind.message, item.pdu.body, contents=contents)
        return json.dumps({**shown, **body}, ensure_ascii=False)

    return text


def clock(unix_time: float) -> str:
    """Return the local time of day with microseconds."""
    return time.strftime("%H:%M:%S", time.localtime(unix_time)) + f".{int(unix_time * 1e6) % 1_000_000:06d}"
