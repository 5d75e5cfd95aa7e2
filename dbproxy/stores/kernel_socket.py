"""Kernel timeouts and connection state of a blocking socket. Called by the thread that owns it."""

from __future__ import annotations

import math
import socket
import ssl
import struct


def set_kernel_timeouts(sock: socket.socket, seconds: float) -> None:
    """Let every send and receive on ``sock`` fail with BlockingIOError after so many seconds without progress.

    Python's own time limits cost a ``poll`` before each system call, and with it one more release of the interpreter lock,
    for which the thread has to wait again. Not for TLS: Python repeats a receive that would block.
    """
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def limit_receive(sock: socket.socket, seconds: float) -> None:
    """Give a socket with ``set_kernel_timeouts``, or one with TLS, another limit for what is received from now on."""
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(seconds)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))


_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Seconds: a server that vanished without closing (power, firewall) is detected on idle connections too, and not after two hours."""


def detect_dead_peer(sock: socket.socket, seconds: float) -> None:
    """Let the kernel end a TCP connection whose peer acknowledges nothing for so many seconds, or vanishes while it is idle."""
    for option, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(seconds * 1000))


_ESTABLISHED = 1
"""The TCP state (the first byte of ``struct tcp_info``) in which neither side has closed."""


def still_connected(sock: socket.socket) -> bool:
    """Whether the peer has neither closed nor reset a connection, as far as the kernel knows.

    For an idle connection a ``poll`` would do, but Python releases the interpreter lock for that, and a busy worker would have to wait
    for the lock again.
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
