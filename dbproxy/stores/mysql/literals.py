"""Parts of statements that values become. Pure functions, any thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbproxy.stores.mysql.connection import DBConn


def id_list(ids: Iterable[int]) -> str:
    """Return ids in the form that goes between the parentheses of an ``in``."""
    return ",".join(map(str, ids))


def text_literal(connection: DBConn, text: bytes) -> str:
    """Return the literal of a text as the database has it, which may be no UTF-8."""
    try:
        return connection.escape(text.decode())
    except UnicodeDecodeError:
        return f"x'{text.hex()}'"
