"""What is shown of conversations and their messages. Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A user; the texts are empty if the user has no row any more."""

    user_id: int
    name: str
    nick: str

    @property
    def shown(self) -> str:
        """Return what people call the user: the nick, else the login name, else the id."""
        return self.nick or self.name or f"user {self.user_id}"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation between two people, or of a group."""

    kind: str
    """``people`` or ``group``."""
    conversation_id: int
    """The relate_id of the two people, or the group id."""
    title: str
    first_user: Person | None
    """Of people: the user with the smaller id, and the other one; of a group None."""
    second_user: Person | None
    others: tuple[int, ...] = ()
    """relate_ids of further relations of the two; clients read only one of all: damage that ``dbproxy-audit --merge`` mends."""
    is_read: bool = True
    """Whether this is the one that clients read."""

    @property
    def target(self) -> str:
        """Return what the audit log calls it."""
        if self.first_user is None or self.second_user is None:
            return f"group {self.conversation_id}"
        return f"users {self.first_user.user_id} and {self.second_user.user_id}"


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation in a list, with the time of its last message (unix seconds) and how many of the newest rows are its own."""

    kind: str
    conversation_id: int
    title: str
    first_user: Person | None
    second_user: Person | None
    last: int
    messages: int
    at_least: bool = False
    """Whether there may be more messages than are counted."""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as people read it."""

    row_id: int
    msg_id: int
    from_id: int
    from_name: str
    created: int
    """Unix seconds."""
    kind: str
    """``text``, ``sound``, or ``other``: a type that clients do not know, which they do not show."""
    content: str
    """The text, decrypted where it was encrypted; of a sound empty."""
    encrypted: bool
    """Whether the text is stored encrypted with the aesKey."""
    hidden: bool
    """Whether clients do not get it."""
    size: int | None
    """Of a sound: bytes; None: its row in IMAudio is missing, or it is no sound."""
    seconds: int | None
    """Of a sound: its duration."""
    path: str
    """Of a sound: where the file server has it."""
    position: int
    """Where it is in its conversation; what ``after`` takes."""
