"""What the tools print: a reader that goes away, or a disk that is full, ends none of them."""

from __future__ import annotations

import os
from typing import TextIO


def write_line(stream: TextIO | None, text: str) -> None:
    """Write a line and flush it. What cannot be written (``| head``, ``> /dev/full``, ``>&-``) is dropped, and so is all after it: it ends
    neither the work nor changes the exit code. ``stream``: as ``sys.stdout``, which is None if the descriptor is closed.
    """
    if stream is None:
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:
        # What is buffered would fail again when the interpreter ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
