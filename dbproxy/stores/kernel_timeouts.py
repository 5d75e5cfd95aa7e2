"""Time limits of a blocking socket that the kernel keeps. They belong to whoever owns the socket."""

from __future__ import annotations

import socket
import struct


def set_kernel_timeouts(sock: socket.socket, seconds: float) -> None:
    """Let every send and receive on ``sock`` fail with BlockingIOError after so many seconds without progress.

    Python's own time limits cost a ``poll`` before each system call, and with it one more moment at which the thread gives up the
    interpreter and has to wait for it again. Not for TLS: Python repeats a receive that would block.
    """
    whole = int(seconds)
    limit = struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
