"""Ordering: requests with the same ordering key start one after the other. ThreadPool's lock guards it, as it does RequestQueues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable

from dbproxy.work.proxy_task import ProxyTask


class OrderedTasks:
    """The waiting tasks of one ordering key; it stands in a queue like a single task, and in none while one of its tasks is in a batch."""

    __slots__ = ("is_blocked", "key", "tasks")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.tasks: deque[ProxyTask] = deque()
        self.is_blocked = False
        """Whether a request with this key is at work in another process, see ``Ordering.block``."""


class Ordering:
    """The ordering keys of all requests that wait or are in a batch. ``append(queue, entry)`` lets an entry stand in the queue of that
    name.
    """

    def __init__(self, append: Callable[[str, OrderedTasks], None]) -> None:
        self._append = append
        self._by_key: dict[Hashable, OrderedTasks] = {}

    def put(self, task: ProxyTask) -> None:
        """Let a task with an ordering key wait, behind the others with this key."""
        ordered = self._by_key.get(task.ordering_key)
        if ordered is None:
            ordered = self._by_key[task.ordering_key] = OrderedTasks(task.ordering_key)
            self._append(task.queue, ordered)
        ordered.tasks.append(task)

    def finish(self, ordered: OrderedTasks) -> None:
        """A batch with this key is done: what waits with the same key may go on."""
        if ordered.tasks:
            self._append(ordered.tasks[0].queue, ordered)
        else:
            del self._by_key[ordered.key]

    def block(self, keys: Iterable[Hashable]) -> None:
        """Let no request with one of these keys start until ``unblock``: another process is at work on an earlier one. Before any request
        waits.
        """
        for key in keys:
            ordered = self._by_key[key] = OrderedTasks(key)
            ordered.is_blocked = True

    def unblock(self, keys: Iterable[Hashable] | None = None) -> None:
        """The other process is done with these keys (None: with all); others are ignored."""
        for key in list(self._by_key) if keys is None else keys:
            ordered = self._by_key.get(key)
            if ordered is not None and ordered.is_blocked:
                ordered.is_blocked = False
                self.finish(ordered)

    def blocked(self) -> list[Hashable]:
        """The keys that another process is at work on."""
        return [ordered.key for ordered in self._by_key.values() if ordered.is_blocked]

    def take(self, ordered: OrderedTasks) -> list[ProxyTask]:
        """Take what waits with a key that stands in a queue, from which the caller removes it."""
        del self._by_key[ordered.key]
        return list(ordered.tasks)

    def take_behind_batches(self) -> list[ProxyTask]:
        """Take what waits with keys that are in a batch, or blocked; those keys stay known."""
        tasks: list[ProxyTask] = []
        for ordered in self._by_key.values():
            tasks += ordered.tasks
            ordered.tasks.clear()
        return tasks

    def oldest(self) -> list[float]:
        """Monotonic time at which the first waiting request of each key arrived."""
        return [ordered.tasks[0].received_at for ordered in self._by_key.values() if ordered.tasks]
