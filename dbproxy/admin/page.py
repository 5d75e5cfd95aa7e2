"""A page of a list that may be long. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST_PAGE = 500
"""Entries of one page, at most."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Entries in the order of the list, and where the next page begins."""

    entries: Sequence[T]
    following: int | None
    """What the caller gives as ``after`` to get the next page; None: this is the last one."""


def cut(entries: Sequence[T], limit: int, position: int | None) -> Page[T]:
    """Return a page of ``limit`` entries from ``limit`` + 1 that were read, to see whether there are more; ``position`` is that of the
    last entry on the page.
    """
    return Page(entries[:limit], position if len(entries) > limit else None)
