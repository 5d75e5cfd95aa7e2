"""SlowRequests: a line in the log about requests that took long, and the last of them. Worker threads write, any thread reads.

A line has the command, ids and the name of a statement; never what a user has written, nor any other value.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import dataclass

from dbproxy.work.batch import FILE_SERVER, GIVEN_BACK, MYSQL, REDIS, UNREADABLE, Batch
from dbproxy.work.proxy_task import ProxyTask

logger = logging.getLogger(__name__)

KEPT = 100
"""So many of the last slow requests are kept."""

_USER_FIELDS = ("user_id", "from_user_id", "req_user_id")
_GROUP_FIELDS = ("group_id",)
_SESSION_FIELDS = ("session_id", "to_session_id")


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """The slowest request of a command in one batch. Times are in seconds, ``time`` is unix time.

    ``waited``: until a worker began with the batch; ``worked``: until it was done, of which ``mysql``, ``redis`` and ``file_server`` were
    spent inside (waiting for a connection of a pool included), for all requests of the batch together. ``statement``: what was waited for
    longest. ``more``: how many others of the batch with this command were slow as well. ``session_id``: a user or a group.
    """

    time: float
    command: str
    peer: str
    uuid: int
    user_id: int | None
    group_id: int | None
    session_id: int | None
    batch: int
    more: int
    waited: float
    worked: float
    mysql: float
    redis: float
    file_server: float
    statement: str | None


class SlowRequests:
    """Requests that took ``threshold`` seconds or more in all, from their arrival to the end of their batch; infinity: none."""

    def __init__(self, threshold: float = math.inf) -> None:
        self.threshold = threshold
        self._last: deque[SlowRequest] = deque(maxlen=KEPT)

    def configure(self, seconds: float) -> None:
        """Set the threshold; 0 means that no request is slow. Any thread."""
        self.threshold = seconds or math.inf

    def last(self) -> list[SlowRequest]:
        """The last ones, newest last. Any thread."""
        return list(self._last)

    def note(self, batch: Batch, now: float) -> None:
        """Log and keep the slow requests of a batch that is done at ``now`` (monotonic): of each command one. The worker of the batch."""
        slow: dict[str, list[ProxyTask]] = {}
        for task in batch.tasks:
            if now - task.received_at >= self.threshold and batch.outcomes.get(task) not in (GIVEN_BACK, UNREADABLE):
                slow.setdefault(task.handler.command.name, []).append(task)
        for command, tasks in slow.items():
            self._note(command, batch, tasks, now)

    def _note(self, command: str, batch: Batch, tasks: list[ProxyTask], now: float) -> None:
        task = min(tasks, key=lambda task: task.received_at)
        slow = SlowRequest(
            time=time.time(),
            command=command,
            peer=task.peer,
            uuid=task.conn_uuid,
            user_id=_id_of(task, _USER_FIELDS),
            group_id=_id_of(task, _GROUP_FIELDS),
            session_id=_id_of(task, _SESSION_FIELDS),
            batch=len(batch.tasks),
            more=len(tasks) - 1,
            waited=batch.started - task.received_at - task.worked_before,
            worked=now - batch.started + task.worked_before,
            mysql=batch.inside[MYSQL],
            redis=batch.inside[REDIS],
            file_server=batch.inside[FILE_SERVER],
            statement=batch.longest_name,
        )
        self._last.append(slow)
        # the command is part of the format, because the lines of each format are limited for themselves
        logger.warning(
            command + " was slow: waited %.3f s, worked %.3f s (MySQL %.3f s, Redis %.3f s, file server %.3f s; longest: %s)"
            " in a batch of %d, %d more of this command slow [%speer=%s uuid=%d seq=%d]",
            slow.waited,
            slow.worked,
            slow.mysql,
            slow.redis,
            slow.file_server,
            slow.statement or "none",
            slow.batch,
            slow.more,
            "".join(f"{name}={value} " for name, value in _ids(slow)),
            slow.peer,
            slow.uuid,
            task.seq_num,
        )


def _ids(slow: SlowRequest) -> list[tuple[str, int]]:
    named = (("user", slow.user_id), ("group", slow.group_id), ("session", slow.session_id))
    return [(name, value) for name, value in named if value is not None]


def _id_of(task: ProxyTask, fields: tuple[str, ...]) -> int | None:
    """The first of these fields that the request has; None without a parsed request. Lists of ids are no id."""
    for name in fields:
        value = getattr(task.request, name, None)
        if isinstance(value, int):
            return value
    return None
