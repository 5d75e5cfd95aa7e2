"""The control socket: who may connect, how many at once, and threads of their own for all of it."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import socket
import threading
import time
from collections.abc import Callable, Sequence

from dbproxy.descriptors import OPERATOR_CLIENTS
from dbproxy.errors import ControlSocketError, ControlSocketInUseError
from dbproxy.ops.control_protocol import encode, failure
from dbproxy.ops.control_session import Command, Session, by_name
from dbproxy.ops.control_socket import ControlSocket, peer_uid

logger = logging.getLogger(__name__)

MAX_CLIENTS = OPERATOR_CLIENTS
"""Clients that are served at once; others are told so and closed."""

ACCEPT_TIMEOUT = 60.0
"""Seconds of one wait for a client. It ends at once when the socket is closed."""

RETRY_AFTER = 0.5
"""Seconds without accepting after the system has refused a descriptor or a thread."""

RETRY_OPEN = 1.0
"""Seconds between two attempts to listen at a path at which another proxy listens."""

LAST_ANSWERS = 0.5
"""Seconds that clients have to take the rest of their answers when the proxy ends."""


class ControlServer:
    """Accepts clients of the control socket in a thread and serves each in one. Nothing of it runs in the reactor or in workers.

    ``start`` and ``stop`` belong to one thread, which is held up for no longer than it takes to make a file and for ``LAST_ANSWERS``.
    A start may follow a stop.
    """

    def __init__(self, path: str, commands: Sequence[Command]) -> None:
        self._file = ControlSocket(path)
        self._commands = by_name(commands)
        self._guard = threading.Lock()
        self._sessions: set[Session] = set()
        self._stopping = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, *, take_over: bool = False) -> bool:
        """Listen; False, with a line in the log, when it cannot: the proxy works without it. While another proxy listens at the same path
        (one that is about to stop, after a restart) it is tried again. ``take_over``: see ControlSocket.
        """
        try:
            self._file.open(take_over=take_over)
        except ControlSocketInUseError as error:
            logger.warning("no control socket (AdminSocket) until that one ends: %s", error)
            self._run(self._wait_for_path)
            return False
        except ControlSocketError as error:
            logger.warning("no control socket (AdminSocket): %s", error)
            return False
        logger.info("control socket %s", self._file.path)
        self._run(self._accept_all)
        return True

    def stop(self, *, keep_file: bool = False) -> None:
        """Stop accepting, end every answer, close. Without ``keep_file`` the file is removed if it is still the one that was made here.

        With ``keep_file``, which means that another process serves, it does not wait for answers that are still being given; a second call
        does.
        """
        with self._guard:
            self._stopping = True
            self._stopped.set()
            sessions = list(self._sessions)
        self._file.close(keep_file=keep_file)
        for session in sessions:
            session.end()
        if keep_file:
            return
        deadline = time.monotonic() + LAST_ANSWERS
        if self._thread is not None:  # first, because it may be about to start a session
            self._thread.join(LAST_ANSWERS)
            self._thread = None
        for session in sessions:
            if session.is_alive():
                session.join(max(0.0, deadline - time.monotonic()))
            session.abort()

    def _run(self, target: Callable[[], None]) -> None:
        self._stopping = False
        self._stopped.clear()
        self._thread = threading.Thread(target=target, name="control", daemon=True)
        self._thread.start()

    def _wait_for_path(self) -> None:
        while not self._stopped.wait(RETRY_OPEN):
            try:
                self._file.open()
            except ControlSocketError:
                continue
            with self._guard:
                if self._stopping:
                    self._file.close()
                    return
            logger.info("control socket %s", self._file.path)
            self._accept_all()
            return

    def _accept_all(self) -> None:
        while not self._stopping:
            try:
                sock = self._file.accept(ACCEPT_TIMEOUT)
                if sock is not None:
                    self._admit(sock)
            except (OSError, RuntimeError) as error:  # no descriptor, or no thread
                if self._stopping:
                    return
                logger.warning("the control socket does not accept clients: %s", error)
                time.sleep(RETRY_AFTER)

    def _admit(self, sock: socket.socket) -> None:
        uid = peer_uid(sock)
        if uid not in (0, os.geteuid()):
            logger.warning("control socket: a client with user id %d is refused", uid)
            _turn_away(sock, f"this proxy runs as user {user_name(os.geteuid())}, you are {user_name(uid)}")
            return
        with self._guard:
            session = None
            if len(self._sessions) < MAX_CLIENTS and not self._stopping:
                session = Session(sock, self._commands, self._forget)
                self._sessions.add(session)
        if session is None:
            _turn_away(sock, f"{MAX_CLIENTS} clients are connected already")
            return
        try:
            session.start()
        except RuntimeError:
            self._forget(session)
            sock.close()
            raise

    def _forget(self, session: Session) -> None:
        with self._guard:
            self._sessions.discard(session)


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _turn_away(sock: socket.socket, reason: str) -> None:
    """Say why and close, without waiting for anybody."""
    with sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.send(encode(failure(reason)))
