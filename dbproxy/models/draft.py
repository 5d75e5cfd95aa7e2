"""Draft: a message that is to be stored. It belongs to the thread that stores it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredSound:
    """A sound that lies on the file server: where, how many bytes, how many seconds."""

    path: str
    size: int
    duration: int


@dataclass(slots=True, eq=False)
class Draft:
    """A message to be stored. ``to_id`` is a user or a group; ``created`` is unix seconds; ``msg_id`` 0 means not stored (yet)."""

    from_id: int
    to_id: int
    msg_type: int
    created: int
    content: bytes
    sound: StoredSound | None = None
    conversation_id: int = 0
    """relate_id or group id."""
    msg_id: int = 0
