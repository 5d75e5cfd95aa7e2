"""What is going on, on the terminal: one line that changes, or on something that is no terminal a line for each step."""

from __future__ import annotations

import shutil
import time
from typing import TextIO


class Progress:
    """Writes to ``stream``. One thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._begin = time.monotonic()

    def say(self, text: str) -> None:
        """Replace the line."""
        line = f"[{time.monotonic() - self._begin:5.0f} s] {text}"
        if self._is_terminal:
            self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self, text: str = "") -> None:
        """Remove the line, and leave another in its place."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
        if text:
            self._stream.write(text + "\n")
        self._stream.flush()
