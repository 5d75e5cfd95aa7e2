"""Channel: the frames that two processes exchange over a Unix socket, with file descriptors. One thread at a time for each direction."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_LENGTHS = struct.Struct(">III")
"""Bytes of the fields, bytes of the payload, number of descriptors."""

MAX_FIELDS = 64 * 1024 * 1024
"""Bytes of fields that a frame may announce. Both ends are this program, so more than that is a defect."""

MAX_DESCRIPTORS = 200
"""Descriptors in one frame; the kernel takes up to 253 with one message."""


class ChannelError(Exception):
    """The other process is gone, does not answer in time, or speaks another language."""


class Frame(NamedTuple):
    """One message: what it is, its fields (what JSON can hold), bytes that belong to it, and descriptors, which the receiver owns."""

    kind: str
    fields: dict[str, Any]
    payload: bytearray
    descriptors: Sequence[int]


class PayloadCutter:
    """Cuts a payload into the parts whose lengths the fields of its frame tell."""

    def __init__(self, payload: bytearray) -> None:
        self._payload = memoryview(payload)
        self._position = 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        begin, self._position = self._position, self._position + size
        return bytes(self._payload[begin : self._position])


class Channel:
    """One end of the socket. Both directions block, for at most ``timeout`` seconds a frame; the timeout may be changed at any time."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._socket = sock
        self.timeout = timeout

    @classmethod
    def pair(cls, timeout: float) -> tuple[Channel, socket.socket]:
        """Return a channel, and the socket for the other process."""
        ours, theirs = socket.socketpair()
        return cls(ours, timeout), theirs

    def send(
        self,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        payload: Sequence[bytes | memoryview] = (),
        descriptors: Sequence[int] = (),
    ) -> None:
        """Send one frame; at most ``MAX_DESCRIPTORS`` descriptors, which stay open here.

        Raises:
            ChannelError: the other process is gone, or does not read.

        """
        text = json.dumps({**(fields or {}), "kind": kind}).encode()
        head = _LENGTHS.pack(len(text), sum(map(len, payload)), len(descriptors))
        deadline = time.monotonic() + self.timeout
        try:
            self._wait_until(deadline)
            sent = socket.send_fds(self._socket, [head], list(descriptors)) if descriptors else 0
            for part in (head[sent:], text, *payload):
                self._wait_until(deadline)
                self._socket.sendall(part)
        except OSError as error:
            raise ChannelError(f"{kind!r} could not be sent: {error}") from error

    def receive(self, *expected: str) -> Frame:
        """Wait for the next frame; ``expected``: the kinds it may have.

        Raises:
            ChannelError: the other process is gone, sends nothing in time, or something else.

        """
        descriptors: list[int] = []
        try:
            return self._receive(expected, descriptors, time.monotonic() + self.timeout)
        except BaseException as error:
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(error, OSError):
                raise ChannelError(f"nothing came from the other process: {error}") from error
            if isinstance(error, (ValueError, KeyError, AttributeError, TypeError)):
                raise ChannelError("the other process sends what is not understood") from error
            raise

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for a frame; whether there is one.

        Raises:
            ChannelError: the other process is gone.

        """
        self._socket.settimeout(max(0.001, seconds))
        try:
            if self._socket.recv(1, socket.MSG_PEEK):
                return True
        except TimeoutError:
            return False
        except OSError as error:
            raise ChannelError(f"the other process is gone: {error}") from error
        raise ChannelError("the other process is gone")

    def close(self) -> None:
        """Close this end, which ends the waiting of the other."""
        self._socket.close()

    def _receive(self, expected: Sequence[str], descriptors: list[int], deadline: float) -> Frame:
        """Receive a frame; descriptors are added to the list as they come."""
        head = b""
        while len(head) < _LENGTHS.size:
            self._wait_until(deadline)
            data, received, _, _ = socket.recv_fds(self._socket, _LENGTHS.size - len(head), MAX_DESCRIPTORS)
            descriptors += received
            for descriptor in received:  # not for processes that are started later; recv_fds has no flag for it
                os.set_inheritable(descriptor, False)
            if not data:
                raise ChannelError("the other process is gone")
            head += data
        text_length, size, count = _LENGTHS.unpack(head)
        if text_length > MAX_FIELDS or count != len(descriptors):
            raise ChannelError("the other process sends what is not understood")
        fields = json.loads(self._receive_all(text_length, deadline))
        kind = fields.pop("kind")
        if kind not in expected:
            raise ChannelError(f"the other process sends {kind!r}, expected was {expected}")
        return Frame(kind, fields, self._receive_all(size, deadline), descriptors)

    def _wait_until(self, deadline: float) -> None:
        """Let the next system call wait until ``deadline`` (monotonic time) at most."""
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))

    def _receive_all(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, received = memoryview(data), 0
        while received < size:
            self._wait_until(deadline)
            count = self._socket.recv_into(view[received:])
            if not count:
                raise ChannelError("the other process is gone")
            received += count
        return data
