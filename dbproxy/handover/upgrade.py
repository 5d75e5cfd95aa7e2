"""Upgrade: the side of the process that gives. It starts a new process and hands everything over, or goes on as if nothing had happened.

The steps, each of which may fail without any harm before the last one:

1. The new process starts with the installed code and the configuration of now, connects to the backends and checks them: ``ready``.
2. It must stay alive for another ``PROBATION`` seconds.
3. The sockets are left alone and no request is begun, for some milliseconds. Listening sockets, connections and requests that nobody has
   begun are sent to the new process, which keeps them without touching them: ``taken``.
4. ``serve`` gives them to the new process, which says ``serving`` before it touches them. From here on this process only answers what it
   has begun, see ``Retirement``.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TypeVar

from dbproxy.errors import UpgradeError
from dbproxy.handover.channel import Channel, ChannelError
from dbproxy.handover.new_process import NewProcess
from dbproxy.handover.service import LiveService

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CHANNEL_VARIABLE = "DBPROXY_HANDOVER"
"""Environment variable that tells a new process the descriptor of its channel to the former one."""

PROTOCOL = 1
"""What the two processes say to each other; a number for every version of it that others do not understand."""

PROBATION = 2.0
"""Seconds that a new process must have been ready before anything is handed over."""

START_MARGIN = 10.0
"""Seconds that a new process may take to become ready beyond StartTimeout, in which it waits for backends."""

TRANSFER_TIMEOUT = 5.0
"""Seconds for one step of the handover, while peers wait."""

END_TIMEOUT = 2.0
"""Seconds that a new process may take to end by itself after its channel was closed."""


class Upgrade:
    """One attempt. ``run`` belongs to a thread of its own; the parts of the service are touched in the reactor thread only.

    ``in_reactor`` has the reactor thread call a function. ``on_handed_over(channel, process)`` is called there when the new process serves.
    """

    def __init__(
        self,
        new_process: NewProcess,
        in_reactor: Callable[[Callable[[], None]], None],
        service: LiveService,
        start_timeout: float,
        on_handed_over: Callable[[Channel, subprocess.Popen[bytes]], None],
    ) -> None:
        self._new_process = new_process
        self._call_soon = in_reactor
        self._service = service
        self._start_timeout = start_timeout
        self._on_handed_over = on_handed_over

    def run(self) -> None:
        """Carry it out.

        Raises:
            UpgradeError: why this process goes on.

        """
        if os.getpid() == 1:
            raise UpgradeError("this is process 1: a container ends with it, so it has to be replaced from outside")
        channel, theirs = Channel.pair(self._start_timeout + START_MARGIN)
        child: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                child = self._start(theirs.fileno())
            self._hand_over(channel, child)
        except BaseException as error:
            channel.close()
            how = "" if child is None else _end(child, error)
            if isinstance(error, ChannelError):
                raise UpgradeError(how) from error
            raise
        # however long the reactor takes to get there: the new process serves
        self._in_reactor(partial(self._on_handed_over, channel, child), timeout=None)

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        command = self._new_process.command
        logger.info("upgrade: starting %s", command[0])
        try:
            return subprocess.Popen(
                command,
                cwd=self._new_process.directory,
                env={**self._new_process.environment, CHANNEL_VARIABLE: str(descriptor)},
                stdin=subprocess.DEVNULL,
                pass_fds=(descriptor,),
            )
        except OSError as error:
            raise UpgradeError(f"{command[0]} cannot be started: {error}") from error

    def _hand_over(self, channel: Channel, child: subprocess.Popen[bytes]) -> None:
        listeners = self._in_reactor(self._service.listening_addresses)
        channel.send("hello", {"protocol": PROTOCOL, "pid": os.getpid(), "listeners": listeners})
        frame = channel.receive("ready", "failed")
        if frame.kind == "failed":
            raise UpgradeError(f"the new process (pid {child.pid}) cannot start: {frame.fields['reason']}")
        logger.info("upgrade: version %s is ready as pid %d", frame.fields["version"], child.pid)
        if channel.wait(PROBATION):
            raise ChannelError("it does not wait for its turn")
        channel.timeout = TRANSFER_TIMEOUT
        began = time.monotonic()
        suspended = self._in_reactor(self._service.suspend)
        try:
            suspended.state.send(channel)
            channel.receive("taken")
            channel.send("serve")
            channel.receive("serving")
        except BaseException:
            # before this process goes on: the other one must not touch what it may have been given
            child.kill()
            child.wait()
            self._call_soon(lambda: self._service.resume(suspended))  # however long the reactor takes to get there
            raise
        state = suspended.state
        logger.info(
            "upgrade: pid %d serves, %d connections and %d waiting requests were handed over in %.0f ms",
            child.pid,
            len(state.connections),
            len(state.requests),
            (time.monotonic() - began) * 1000,
        )

    def _in_reactor(self, function: Callable[[], Result], timeout: float | None = TRANSFER_TIMEOUT) -> Result:
        """Call a function in the reactor thread and return its result; raises what it raises, and UpgradeError if that thread has not begun
        with it after ``timeout`` seconds (None: it waits for as long as it takes).
        """
        future: Future[Result] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                    future.set_exception(error)

        self._call_soon(call)
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            if future.cancel():
                raise UpgradeError("the reactor does not turn") from None
            return future.result()  # it has just begun


def _end(child: subprocess.Popen[bytes], error: BaseException) -> str:
    """Make sure that a process that did not take over ends, and say how it did."""
    try:
        code = child.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return f"the new process (pid {child.pid}) was killed: {error}"
    how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
    return f"the new process (pid {child.pid}) {how}; what it says is in the log before this line"
