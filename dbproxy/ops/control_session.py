"""One client of the control socket, in a thread of its own: its request is read, the command executed, its answer sent."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

from dbproxy.errors import ControlRefusedError
from dbproxy.ops.control_protocol import DONE, MAX_REQUEST, Arguments, encode, failure, parse_request

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 5.0
"""Seconds in which a client must have sent its whole request."""

SEND_TIMEOUT = 5.0
"""Seconds in which a client must take a line of its answer."""

LOOK_EVERY = 0.2
"""Seconds between two looks whether a client that waits for an answer has gone."""


Items = Generator[Mapping[str, Any], None, None]
"""The items of an answer, made one by one."""


class Command(Protocol):
    """What a client can ask for."""

    @property
    def name(self) -> str:
        """What stands in the request."""

    def execute(self, arguments: Arguments, session: Session) -> Items:
        """Yield the items of the answer, one line each. The thread of the client; it may wait with ``session.pause``.

        Raises:
            ControlRefusedError: it is not carried out; the client gets the text.

        """


class Session(threading.Thread):
    """Serves one client and ends. ``on_end`` is called at the end, by this thread."""

    def __init__(self, sock: socket.socket, commands: Mapping[str, Command], on_end: Callable[[Session], None]) -> None:
        super().__init__(name="control", daemon=True)
        self._socket = sock
        self._commands = commands
        self._on_end = on_end
        self._ended = threading.Event()
        self._gone = select.poll()
        self._gone.register(sock, 0)  # POLLHUP comes without being asked for: the client has closed, and not only ended its request

    def run(self) -> None:
        """Read the request, execute it, send the answer."""
        try:
            self._serve()
        except OSError:
            return  # the client does not read, or has gone
        finally:
            self._socket.close()
            self._on_end(self)

    def end(self) -> None:
        """Make the command come to its end, in at most ``LOOK_EVERY`` seconds if it only waits. Any thread."""
        self._ended.set()

    def abort(self) -> None:
        """Cut the connection, so that nothing waits for the client any more. Any thread."""
        self._ended.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already

    def pause(self, seconds: float) -> bool:
        """Wait; False as soon as the answer should end: the client has gone or the proxy ends. For commands."""
        deadline = time.monotonic() + seconds
        while not self._ended.is_set() and not self._gone.poll(0):
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            self._ended.wait(min(left, LOOK_EVERY))
        return False

    def wait_for(self, event: threading.Event, seconds: float) -> bool:
        """Wait until ``event`` is set; False after ``seconds``, or when the client has gone. For commands."""
        deadline = time.monotonic() + seconds
        while not event.wait(max(0.0, min(LOOK_EVERY, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or self._gone.poll(0):
                return event.is_set()
        return True

    def _serve(self) -> None:
        try:
            line = self._read()
            name, arguments = parse_request(line)
            with contextlib.closing(self._command(name).execute(arguments, self)) as items:
                for item in items:
                    self._send({"item": item})
            self._send(DONE)
        except ControlRefusedError as error:
            self._send(failure(str(error)))
        except OSError:
            raise
        except Exception as error:
            logger.exception("a command of the control socket failed")
            self._send(failure(f"the command failed: {type(error).__name__}; the log has more"))

    def _command(self, name: str) -> Command:
        command = self._commands.get(name)
        if command is None:
            raise ControlRefusedError(f"{name[:100]!r} is no command; there are " + ", ".join(sorted(self._commands)))
        return command

    def _read(self) -> bytes:
        """Return the line of the request."""
        deadline = time.monotonic() + REQUEST_TIMEOUT
        received = bytearray()
        while b"\n" not in received:
            if len(received) >= MAX_REQUEST:
                raise ControlRefusedError(f"the request is longer than {MAX_REQUEST} bytes")
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self._socket.recv(MAX_REQUEST - len(received))
            except TimeoutError:
                raise ControlRefusedError(f"no request within {REQUEST_TIMEOUT:g} s") from None
            if not part:  # the end of what it sends also ends the line
                if not received:
                    raise OSError("the client has closed")
                break
            received += part
        return bytes(received.partition(b"\n")[0])

    def _send(self, line: Mapping[str, Any]) -> None:
        self._socket.settimeout(SEND_TIMEOUT)
        self._socket.sendall(encode(line))


def by_name(commands: Sequence[Command]) -> dict[str, Command]:
    """Return name → command."""
    return {command.name: command for command in commands}
