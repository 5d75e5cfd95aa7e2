"""Where somebody who wants to see requests and their replies is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from dbproxy.work.batch import Batch
from dbproxy.work.proxy_task import ProxyTask


class Tracer(Protocol):
    """Sees batches that are done."""

    def record(self, batch: Batch, replies: Mapping[ProxyTask, Sequence[bytes]]) -> None:
        """Take what is wanted of a batch; ``replies``: the bodies of those made in it. The worker of the batch; must not block or raise."""


class Tracing:
    """``tracer`` is None unless somebody traces; then the workers pay one look at it for each batch. Any thread sets it."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracer | None = None
