"""The history of the messages that a test client has sent, for comparison with what is stored (``devtools.verification``)."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import NamedTuple

_TOKEN = re.compile(r"(\d{1,9}\.\d{1,9}):")
_FILLERS = ("hello ", "你好 ", "😀", 'it\'s "quoted" ', "100% \\n %s ", "a|b|c\t", "-- ; drop table ")


def text_of(token: str) -> str:
    """Return the text of the message with this token: mostly short, sometimes long, with many characters that have to be escaped."""
    rng = random.Random(token)
    length = rng.choice((0, 1, 2, 5, 10, 20, 200))
    return f"{token}:" + "".join(rng.choice(_FILLERS) for _ in range(length))


def token_of(text: str) -> str | None:
    """Return the token of a text that ``text_of`` may have made; None for other texts."""
    match = _TOKEN.match(text)
    return match[1] if match else None


class Conversation(NamedTuple):
    """Two users (the smaller id first), or a group (its id, 0)."""

    to_group: bool
    one: int
    other: int

    @classmethod
    def between(cls, sender: int, receiver: int) -> Conversation:
        """Return the conversation of two users."""
        return cls(False, min(sender, receiver), max(sender, receiver))

    @classmethod
    def in_group(cls, group_id: int) -> Conversation:
        """Return the conversation of a group."""
        return cls(True, group_id, 0)


class Acknowledged(NamedTuple):
    """A text message with the msg_id that its sender was told."""

    conversation: Conversation
    sender: int
    token: str
    msg_id: int


class Sound(NamedTuple):
    """A sound message with the msg_id that its sender was told, and its size in bytes."""

    conversation: Conversation
    sender: int
    msg_id: int
    size: int


@dataclass(slots=True)
class MessageHistory:
    """What one client has sent and what it was told. ``number`` identifies the client. Written by one thread."""

    number: int
    acknowledged: list[Acknowledged] = field(default_factory=list)
    """In the order of sending."""
    sounds: list[Sound] = field(default_factory=list)
    refused: int = 0
    """Messages that were answered with msg_id 0."""
    unanswered: int = 0
    """Messages whose reply did not come: the connection was lost, or it took too long."""
    _sent: int = 0

    def next_token(self) -> str:
        """Return a token that no other message has."""
        self._sent += 1
        return f"{self.number}.{self._sent}"

    def has_sent(self, token: str) -> bool:
        """Return whether this client has sent the message with this token."""
        number, _, count = token.partition(".")
        return int(number) == self.number and 1 <= int(count) <= self._sent

    @property
    def answered(self) -> int:
        """Text messages that got a reply."""
        return len(self.acknowledged) + self.refused
