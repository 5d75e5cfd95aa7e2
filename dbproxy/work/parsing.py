"""From the bytes of a body to the request in it, and what the log says about bodies that hold none. Any thread."""

from __future__ import annotations

import logging

from google.protobuf.message import DecodeError

from dbproxy.work.proxy_task import ProxyTask

logger = logging.getLogger(__name__)


def parse_request(task: ProxyTask) -> str | None:
    """Fill in ``task.request``; return None, or what is wrong with a body that does not parse or lacks a required field.

    An unknown value of a required enum counts as lacking: protobuf puts it among the unknown fields.
    """
    try:
        request = task.handler.command.request.FromString(task.body)
    except DecodeError:
        return "does not parse"
    if not request.IsInitialized():
        lacking: list[str] = request.FindInitializationErrors()
        return "lacks " + ", ".join(lacking)
    task.request = request
    return None


class Parser:
    """Parses the bodies of one read or one batch. One line in the log stands for all that cannot be used: a peer that sends nothing else
    sends thousands with each read, and a line for each would cost more than answering them.
    """

    __slots__ = ("_complaint", "_count", "_task")

    def __init__(self) -> None:
        self._count = 0
        self._complaint = ""
        self._task: ProxyTask | None = None

    def parse(self, task: ProxyTask) -> bool:
        """Fill in ``task.request``, if it is not yet; False when the body cannot be used."""
        complaint = None if task.request is not None else parse_request(task)
        if complaint is None:
            return True
        if self._task is None:
            self._task, self._complaint = task, complaint
        self._count += 1
        return False

    def report(self) -> None:
        """Write the line, if there is something to say."""
        if self._task is not None:
            logger.warning("body %s: %s (and %d more that cannot be used)", self._complaint, self._task, self._count - 1)
