"""Load for fault tests: clients that send one message after the other and record what was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.testing.client import Client, ConnectionClosedError
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import eventually
from devtools import verification
from devtools.history import Acknowledged, Conversation, MessageHistory, text_of

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Writer:
    """One client: it sends messages to a user or a group."""

    sender: int
    receiver: int
    to_group: bool
    history: MessageHistory

    @property
    def conversation(self) -> Conversation:
        """The conversation to which it sends."""
        return Conversation.in_group(self.receiver) if self.to_group else Conversation.between(self.sender, self.receiver)


class Traffic:
    """Writers, each in a thread with a connection of its own that is opened again when it is lost.

    ``connect`` opens a connection for the writer with this number. Each writer sends one message after the other until ``stop``. A
    context manager; the methods belong to the thread that created it.
    """

    def __init__(self, connect: Callable[[int], Client], conversations: Sequence[tuple[int, int, bool]], *, timeout: float = 20) -> None:
        """``conversations``: (sender, receiver or group, whether it is a group), one writer each; ``timeout`` of one reply in seconds."""
        self.writers = [Writer(*conversation, MessageHistory(number)) for number, conversation in enumerate(conversations)]
        self._connect = connect
        self._timeout = timeout
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(writer,), daemon=True) for writer in self.writers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every writer finish its current message and wait for the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 10)

    @property
    def histories(self) -> list[MessageHistory]:
        """The history of each writer."""
        return [writer.history for writer in self.writers]

    @property
    def stored(self) -> int:
        """Messages acknowledged with a msg_id so far."""
        return sum(len(history.acknowledged) for history in self.histories)

    @property
    def refused(self) -> int:
        """Messages answered with msg_id 0 so far."""
        return sum(history.refused for history in self.histories)

    @property
    def unanswered(self) -> int:
        """Messages without a reply so far."""
        return sum(history.unanswered for history in self.histories)

    def wait_for(self, more: int, timeout: float = 20) -> None:
        """Wait until ``more`` messages have been acknowledged from now on; AssertionError when that takes longer than ``timeout``."""
        goal = self.stored + more
        if not eventually(lambda: self.stored >= goal, True, timeout):
            raise AssertionError(f"{goal - self.stored} of {more} messages were not acknowledged within {timeout:g} s")

    def verify(self, stack: Stack) -> list[str]:
        """Return all differences between the histories and what is stored, and all inconsistencies of the tables."""
        return verification.verify(stack, self.histories)

    def _write(self, writer: Writer) -> None:
        client: Client | None = None
        history = writer.history
        while not self._stop.is_set():
            token = history.next_token()
            try:
                client = client or self._connect(history.number)
                send = client.send_group_message if writer.to_group else client.send_message
                msg_id = send(writer.sender, writer.receiver, text_of(token)).msg_id
            except (ConnectionClosedError, OSError):  # TimeoutError is one of them
                history.unanswered += 1
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(0.05)
                continue
            if msg_id:
                history.acknowledged.append(Acknowledged(writer.conversation, writer.sender, token, msg_id))
            else:
                history.refused += 1
        if client is not None:
            client.close()
