"""What the tools print: a reader that goes away, or a disk that is full, ends none of them."""

from __future__ import annotations

import os
from typing import TextIO


def write_line(stream: TextIO | None, text: str) -> bool:
    """Write a line and flush it. What cannot be written (``| head``, ``> /dev/full``, ``>&-``) is dropped, and so is all after it: it ends
    neither the work nor changes the exit code. ``stream``: as ``sys.stdout``, which is None if the descriptor is closed. Characters that
    its character set does not have (an emoji where the locale is GBK) are written as escapes. Returns whether this line was written.
    """
    if stream is None:
        return False
    try:
        try:
            stream.write(text + "\n")
        except UnicodeEncodeError:
            stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding) + "\n")
        stream.flush()
    except OSError:
        # What is buffered would fail again when the interpreter ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        return False
    return True
