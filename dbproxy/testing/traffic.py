"""Traffic under faults: clients that write marked messages, and the audit of what was acknowledged."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


from dbproxy.testing.client import Client, ConnectionClosedError
from dbproxy.testing.stack import Stack
from dbproxy.wire.pb import base_define_pb2

SHARDS = 8


@dataclass
class Acknowledged:
    """What one writer has sent and what it was told: (text, msg_id) in the order of sending; msg_id 0 is a refusal."""

    sender: int
    receiver: int
    to_group: bool
    answers: list[tuple[str, int]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Texts whose reply never came: the connection was lost, or it took too long."""

    @property
    def stored(self) -> list[tuple[str, int]]:
        """The answers with a msg_id other than 0."""
        return [(text, msg_id) for text, msg_id in self.answers if msg_id]


class Traffic:
    """Writers, each in a thread with a connection of its own that is opened anew when it is lost.

    ``connect`` opens a connection for the writer with this number. Each writer sends one message after the other until ``stop``. A
    context manager; the methods belong to the thread that made it.
    """

    def __init__(self, connect: Callable[[int], Client], conversations: Sequence[tuple[int, int, bool]], *, timeout: float = 20) -> None:
        """``conversations``: (sender, receiver or group, whether it is a group), one writer each; ``timeout`` of one reply in seconds."""
        self.writers = [Acknowledged(*conversation) for conversation in conversations]
        self._connect = connect
        self._timeout = timeout
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number, writer), daemon=True) for number, writer in enumerate(self.writers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every writer end with the message that it is at."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 10)

    @property
    def stored(self) -> int:
        """Messages acknowledged with a msg_id so far."""
        return sum(len(writer.stored) for writer in self.writers)

    def wait_for(self, more: int, timeout: float = 20) -> None:
        """Wait until so many more messages have been acknowledged; AssertionError when they are not in time."""
        goal, waited = self.stored + more, 0.0
        while self.stored < goal:
            if waited > timeout:
                raise AssertionError(f"{goal - self.stored} of {more} messages were not acknowledged within {timeout:g} s")
            self._stop.wait(0.02)
            waited += 0.02

    def _write(self, number: int, writer: Acknowledged) -> None:
        client: Client | None = None
        count = 0
        while not self._stop.is_set():
            count += 1
            text = f"{number}:{count}"
            try:
                client = client or self._connect(number)
                kind = client.send_group_message if writer.to_group else client.send_message
                writer.answers.append((text, kind(writer.sender, writer.receiver, text).msg_id))
            except (ConnectionClosedError, OSError):  # TimeoutError is one of them
                writer.unanswered.append(text)
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(0.05)
        if client is not None:
            client.close()


def audit(stack: Stack, traffic: Traffic) -> list[str]:
    """Compare what was acknowledged with what is stored; every difference as a sentence, so an empty list is what one hopes for."""
    problems: list[str] = []
    rows = _messages(stack)
    ids = Counter((kind, conversation, msg_id) for kind, conversation, msg_id, _, _ in rows)
    problems += [f"msg_id {key} stands {count} times" for key, count in ids.items() if count > 1]
    by_text: dict[tuple[int, str], list[int]] = {}
    for _, _, msg_id, sender, text in rows:
        by_text.setdefault((sender, text), []).append(msg_id)
    for writer in traffic.writers:
        for text, msg_id in writer.stored:
            found = by_text.get((writer.sender, text), [])
            if found != [msg_id]:
                problems.append(f"message {text} of {writer.sender} was acknowledged as {msg_id} and is stored as {found}")
        given = [msg_id for _, msg_id in writer.stored]
        if given != sorted(given):
            problems.append(f"the ids of writer {writer.sender} did not grow: {given}")
    for table, columns in (("IMRelationShip", "smallId,bigId"), ("IMRecentSession", "userId,peerId,type")):
        twice = stack.rows(f"select {columns},count(*) as n from {table} group by {columns} having n>1")
        problems += [f"{table} twice: {row}" for row in twice]
    return problems + _group_problems(stack)


def _messages(stack: Stack) -> list[tuple[int, int, int, int, str]]:
    """(type, conversation, msg_id, sender, text) of all stored messages."""
    rows: list[tuple[int, int, int, int, str]] = []
    single, group = base_define_pb2.SESSION_TYPE_SINGLE, base_define_pb2.SESSION_TYPE_GROUP
    for shard in range(SHARDS):
        for kind, table, conversation, sender in (
            (single, f"IMMessage_{shard}", "relateId", "fromId"),
            (group, f"IMGroupMessage_{shard}", "groupId", "userId"),
        ):
            found = stack.rows(f"select {conversation} as c,msgId,{sender} as s,content from {table}")
            rows += [(kind, int(str(row["c"])), int(str(row["msgId"])), int(str(row["s"])), str(row["content"])) for row in found]
    return rows


def _group_problems(stack: Stack) -> list[str]:
    """Where rows, hashes and userCnt of a group do not agree; a group that Redis does not know is no problem, it comes back."""
    problems = []
    for group in stack.rows("select id,userCnt from IMGroup"):
        members = {
            str(row["userId"]) for row in stack.rows("select userId from IMGroupMember where groupId=%s and status=0", (group["id"],))
        }
        if len(members) != group["userCnt"]:
            problems.append(f"group {group['id']}: userCnt {group['userCnt']}, members {len(members)}")
        with stack.redis("group_member") as redis:
            hashed = set(redis.hkeys(f"group_member_{group['id']}"))
        if hashed and hashed != members:
            problems.append(f"group {group['id']}: Redis has {sorted(hashed)}, MySQL {sorted(members)}")
    return problems
