"""The protocol of the control socket: one line of JSON asks, lines of JSON answer. See docs/CONTROL.md. No I/O; any thread.

An answer is any number of lines ``{"item": ...}`` and at the end either ``{"ok": true}`` or ``{"ok": false, "error": text}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dbproxy.errors import ControlRefusedError

MAX_REQUEST = 64 * 1024
"""Bytes of a request, its line end included."""

DONE: Mapping[str, Any] = {"ok": True}
"""The last line of an answer to a command that succeeded."""


def failure(text: str) -> dict[str, Any]:
    """Return the last line of an answer to a command that did not."""
    return {"ok": False, "error": text}


def encode(line: Mapping[str, Any]) -> bytes:
    """Return one line of either direction."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "backslashreplace") + b"\n"


def parse_request(line: bytes) -> tuple[str, Arguments]:
    """Return the name of the command and its arguments.

    Raises:
        ControlRefusedError: the line is no request; the text says what was expected.

    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlRefusedError('the request is not a line of JSON like {"command":"status"}') from None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise ControlRefusedError('the request needs the name of a command, like {"command":"status"}')
    return request.pop("command"), Arguments(request)


class Arguments:
    """What stands in a request beside the command. Each is taken once; ``finish`` refuses what nobody has taken.

    Every method raises ``ControlRefusedError`` with the name, the value and what is accepted.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Take a whole number from ``low`` to ``high``."""
        value = self._values.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._refused(name, value, f"a whole number from {low} to {high}")
        return value

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        """Take seconds from ``low`` to ``high``."""
        value = self._values.pop(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise self._refused(name, value, f"seconds from {low:g} to {high:g}")
        return float(value)

    def text(self, name: str, default: str = "", choices: Sequence[str] = ()) -> str:
        """Take a text, one of ``choices`` if there are any."""
        value = self._values.pop(name, default)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self._refused(name, value, "one of " + ", ".join(choices) if choices else "a text")
        return value

    def switch(self, name: str) -> bool:
        """Take true or false; false when it is not there."""
        value = self._values.pop(name, False)
        if not isinstance(value, bool):
            raise self._refused(name, value, "true or false")
        return value

    def optional(self, name: str) -> bool:
        """Whether it is there; null counts as missing."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
        return name in self._values

    def finish(self) -> None:
        """Refuse arguments that are left."""
        if self._values:
            raise ControlRefusedError(f"{', '.join(map(repr, sorted(self._values)[:5]))}: no argument of this command")

    @staticmethod
    def _refused(name: str, value: object, accepts: str) -> ControlRefusedError:
        return ControlRefusedError(f"{name}={json.dumps(value)[:100]}: expected {accepts}")
