"""HeldRequests: requests of connections that do not take their replies. ThreadPool's lock guards it, as it does RequestQueues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbproxy.work.proxy_task import ProxyTask

TASK_OVERHEAD = 512
"""Bytes that a request costs beside its body."""


class HeldRequests:
    """Requests by the uuid of their connection, each in the order of its arrival. They count as memory of that connection, not as waiting.

    Whether there are any, how many bytes they are, and for a uuid whether it is ``in`` may be asked without the lock.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, list[ProxyTask]] = {}
        self.bytes = 0
        """Memory of all of them."""

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))

    def __contains__(self, uuid: int) -> bool:
        return uuid in self._tasks

    def __iter__(self) -> Iterator[int]:
        """The uuids of the connections."""
        return iter(tuple(self._tasks))

    def add(self, tasks: Iterable[ProxyTask]) -> None:
        """Hold tasks that have been in a batch, or have just been cut off a queue."""
        for task in tasks:
            if task.follow_up is None:
                task.request = None  # parsed, a list of ids takes ten times as much
            self._tasks.setdefault(task.conn_uuid, []).append(task)
            self.bytes += len(task.body) + TASK_OVERHEAD

    def pop(self, uuid: int) -> list[ProxyTask]:
        """Take the requests of a connection, the oldest first."""
        tasks = self._tasks.pop(uuid, [])
        self.bytes -= sum(len(task.body) + TASK_OVERHEAD for task in tasks)
        return sorted(tasks, key=lambda task: task.received_at)

    def memory(self) -> dict[int, int]:
        """Connection uuid → bytes of its held requests."""
        return {uuid: sum(len(task.body) + TASK_OVERHEAD for task in tasks) for uuid, tasks in self._tasks.items()}
