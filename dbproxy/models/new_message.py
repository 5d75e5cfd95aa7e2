"""NewMessage: a message to be stored. It belongs to the thread that stores it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredSound:
    """A sound on the file server: its path there, its size in bytes and its duration in seconds."""

    path: str
    size: int
    duration: int


@dataclass(slots=True, eq=False)
class NewMessage:
    """A message to be stored. ``to_id`` is a user or a group; ``created`` is unix seconds; ``msg_id`` 0 means not stored (yet)."""

    from_id: int
    to_id: int
    msg_type: int
    created: int
    content: bytes
    sound: StoredSound | None = None
    conversation_id: int = 0
    """relate_id or group id; 0 as long as the two users have no relation."""
    msg_id: int = 0
