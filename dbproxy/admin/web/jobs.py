"""Work that takes longer than a page may: a thread for each, one of a kind at a time. Any thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import RefusedError
from dbproxy.errors import DbproxyError

logger = logging.getLogger(__name__)


class StoppedError(DbproxyError):
    """The work was stopped between two steps, because somebody asked for that or the program ends."""


class State(Enum):
    """How far a job is."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class Job:
    """One piece of work: who started it and when, and how far it is. Its thread writes; pages read single values."""

    kind: str
    account: str
    started: float
    """Unix time."""
    done: int = 0
    total: int | None = None
    """Of what ``done`` counts; None: not known."""
    note: str = ""
    """What is being done; empty: nothing to be told."""
    state: State = State.RUNNING
    result: object = None
    """What the work has returned, in the state DONE."""
    error: str = ""
    """Why it has failed or stopped, in English."""
    ended: float = 0.0
    """Unix time; 0 while it runs."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _may_go_on: Callable[[], bool] = lambda: True

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the work is; called by its thread between two steps.

        Raises:
            StoppedError: it shall go no further.

        """
        self.done, self.total = done, total
        if not self._may_go_on():
            raise StoppedError(f"stopped before the end: {self.account} may not do this any more; what was done until then stays done")
        if self._stop.is_set():
            raise StoppedError("stopped before the end; what was done until then stays done")

    def stop(self) -> None:
        """Ask the work to stop at its next step."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()


class Jobs:
    """The jobs of one web application; the last one of each kind is remembered until the program ends."""

    def __init__(self, has: Callable[[str, Permission], bool] = lambda _account, _permission: True) -> None:
        """``has``: whether an account has a permission, now."""
        self._has = has
        self._lock = threading.Lock()
        self._last: dict[str, tuple[Job, threading.Thread]] = {}
        self._closed = False

    def start(self, kind: str, account: str, work: Callable[[Job], object], permission: Permission = Permission.CHANGE) -> Job:
        """Run ``work`` in a thread and return its job at once. It goes on as long as the account has the permission.

        Raises:
            RefusedError: a job of this kind is running already, or the program is ending.

        """
        job = Job(kind, account, time.time(), _may_go_on=lambda: self._has(account, permission))
        thread = threading.Thread(target=_run, args=(job, work), name=f"admin-{kind}")
        with self._lock:
            if self._closed:
                raise RefusedError("the server is being stopped")
            running, _thread = self._last.get(kind, (None, None))
            if running is not None and running.state is State.RUNNING:
                raise RefusedError(f"{running.account} has started the same already, and it is still running: one at a time")
            thread.start()  # under the lock: who closes joins only threads that were started
            self._last[kind] = job, thread
        return job

    def last(self, kind: str) -> Job | None:
        """Return the job of this kind that was started last."""
        with self._lock:
            found = self._last.get(kind)
        return found[0] if found else None

    def close(self, timeout: float = 10) -> None:
        """Stop what runs at its next step, and wait up to ``timeout`` seconds for each."""
        with self._lock:
            self._closed = True
            jobs = list(self._last.values())
        for job, _thread in jobs:
            job.stop()
        for _job, thread in jobs:
            thread.join(timeout)


def _run(job: Job, work: Callable[[Job], object]) -> None:
    """Do the work in this thread; whatever happens is told by the state of the job, ``ended`` last but for the state."""
    state = State.DONE
    try:
        job.result = work(job)
    except StoppedError as error:
        state, job.error = State.STOPPED, str(error)
    except DbproxyError as error:
        state, job.error = State.FAILED, str(error)
    except Exception as error:
        logger.exception("A job of the web administration has failed: %s", job.kind)
        state, job.error = State.FAILED, f"internal error, see the log: {type(error).__name__}"
    job.ended = time.time()
    job.state = state
