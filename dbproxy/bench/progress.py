"""Progress on a terminal: one line that is overwritten, or a line for each step when the output is not a terminal."""

from __future__ import annotations

import shutil
import time
from typing import TextIO


class Progress:
    """Writes progress to ``stream``, with the seconds since the start. One thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._begin = time.monotonic()

    def show(self, text: str) -> None:
        """Replace the progress line."""
        line = f"[{time.monotonic() - self._begin:5.0f} s] {text}"
        if self._is_terminal:
            self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self, text: str = "") -> None:
        """Remove the progress line, and print ``text`` in its place if there is one."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
        if text:
            self._stream.write(text + "\n")
        self._stream.flush()
