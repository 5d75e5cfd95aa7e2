"""Packing several columns of a row into one field. Pure functions, any thread.

Reading a field from a result costs several times as much as cutting it out of a longer one, so queries for many rows return one field
per row. Their callers cut it with ``field.split(SEPARATOR, n)``, inline, because a function call would cost as much again.
"""

from __future__ import annotations

SEPARATOR = b"|"
"""Separates the columns of ``packed``."""

TEXT_SEPARATOR = b"\0"
"""Separates the columns of ``packed_texts``."""


def packed(*numbers: str, text: str | None = None) -> str:
    """Return the expression that packs columns (or other expressions) into one field.

    ``numbers`` must not be NULL: concat_ws would leave out the column together with its separator. ``text`` comes last, so it may contain
    the separator; it is empty for NULL.
    """
    columns = numbers if text is None else (*numbers, f"ifnull({text},'')")
    return f"concat_ws('|',{','.join(columns)})"


def packed_texts(*columns: str) -> str:
    """Return the expression that packs columns, several of them texts, into one field. None may be NULL; see ``packed``.

    A text may contain even this separator: a field with more parts than columns has to be read again, unpacked. The collation lets
    columns of different character sets go together.
    """
    return f"concat_ws('\\0' collate utf8mb4_bin,{','.join(columns)})"
