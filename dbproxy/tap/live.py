"""tap: runs the forwarder in this process and the viewer in a child."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

from dbproxy.addresses import shown_address
from dbproxy.errors import DbproxyError
from dbproxy.output import write_line
from dbproxy.tap.forwarder import MAX_CONNECTIONS, Forwarder
from dbproxy.tap.observer import Observer
from dbproxy.tap.pdus import Notice, TappedPdu
from dbproxy.tap.selection import Criteria, Selection
from dbproxy.tap.session_file import SessionWriter
from dbproxy.tap.viewer import Viewer, as_json, as_text

BACKLOG = 512

_OWN_DESCRIPTORS = 32
"""Of this process: the listener, the selector, the streams, and a reserve."""

VIEWER_NICENESS = 10
"""By how much the process that shows is nicer than the one that forwards, which shall not have to wait for a core."""

LAST_LINES = 10.0
"""Seconds that the viewer has at the end to show what has passed."""


class TapError(DbproxyError):
    """An address or a file that cannot be used; the text names it."""


def tap(
    listen: tuple[str, int], server: tuple[str, int], criteria: Criteria, *, contents: bool, as_lines_of_json: bool, save: str | None
) -> None:
    """Forward until SIGINT or SIGTERM.

    If whoever reads the output goes away, it goes on forwarding: the servers on both sides have nothing to do with that.

    Raises:
        TapError: an address or the file cannot be used, or not everything could be saved.

    """
    listener = _listener(listen)
    address = _resolved(server)
    try:
        session = None if save is None else SessionWriter(save, shown_address(*server))
    except OSError as error:
        raise TapError(f"{save} cannot be written: {error.strerror}") from None
    text = (as_json if as_lines_of_json else as_text)(contents)
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        listener.close()
        ours.close()
        _show(theirs, Selection(criteria), text, session)
    theirs.close()
    observer = Observer(ours)
    forwarder = Forwarder(
        listener, address, observer, lambda: write_line(sys.stderr, "nothing is shown any more; forwarding goes on"), _most_connections()
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: forwarder.stop())
    where = shown_address(*listener.getsockname()[:2])
    write_line(sys.stderr, f"forwarding {where} to {shown_address(*server)}; Ctrl-C ends it, and the connections with it")
    forwarder.run()
    observer.finish(LAST_LINES)
    if _await(child) and save is not None:
        raise TapError(f"not everything was saved to {save}")


def _show(stream: socket.socket, selection: Selection, text: Callable[[TappedPdu | Notice], str], session: SessionWriter | None) -> None:
    """Show what passes until the stream ends, and end this process."""
    # Ctrl-C goes to both processes: what has passed is still shown.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    code = 0
    os.nice(VIEWER_NICENESS)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal that is not UTF-8 takes no emoji
    try:
        viewer = Viewer(stream, selection, text, session)
        viewer.run()
        sys.stdout.flush()
        passed = ", ".join(f"{name} {count}" for name, count in viewer.passed.most_common())
        write_line(sys.stderr, f"{sum(viewer.passed.values())} PDUs have passed{': ' + passed if passed else ''}")
    except BrokenPipeError:
        code = 1
    except OSError as error:
        write_line(sys.stderr, f"dbproxy-tap: what passes cannot be shown or saved: {error.strerror or error}")
        code = 1
    except BaseException as error:  # noqa: BLE001 - the process ends here, and shall not do so silently
        write_line(sys.stderr, f"dbproxy-tap: what passes cannot be shown: {type(error).__name__}: {error}")
        code = 1
    finally:
        os._exit(code)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; a handler, so that calls are interrupted and resumed as usual."""


def _most_connections() -> int:
    """How many clients there can be: each takes two descriptors. The limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 2 * MAX_CONNECTIONS + _OWN_DESCRIPTORS) if hard != resource.RLIM_INFINITY else 2 * MAX_CONNECTIONS + _OWN_DESCRIPTORS
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(1, min(MAX_CONNECTIONS, (soft - _OWN_DESCRIPTORS) // 2))


def _await(child: int) -> int:
    """Wait for the viewer, which has read everything or will get no more, and return its status; one that hangs in its output is killed."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, LAST_LINES)
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return status


def _listener(address: tuple[str, int]) -> socket.socket:
    try:
        family, _, _, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        raise TapError(f"cannot listen on {shown_address(*address)}: {error.strerror or error}") from None
    return listener


def _resolved(address: tuple[str, int]) -> tuple[str, int]:
    """Return the first address of a name, looked up once: a lookup later would hold everything up."""
    try:
        host, port = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][4][:2]
    except OSError as error:
        raise TapError(f"{address[0]} cannot be looked up: {error.strerror or error}") from None
    return str(host), int(port)
