"""What is accepted as a text: its length, and its characters. Pure; any thread."""

from __future__ import annotations

import unicodedata

from dbproxy.admin.errors import RefusedError
from dbproxy.models.directory import TextColumn

_FORBIDDEN = {"Cc", "Zl", "Zp"}
"""Unicode categories: control characters, and those that begin a new line."""

_SHOWN = 40
"""Characters of a refused text that an error shows."""


def check_text(what: str, text: str, column: TextColumn, *, required: bool = False, most_bytes: int | None = None) -> None:
    """Check that a column takes a text, and that it has no control characters; ``most_bytes``: it is limited in UTF-8, too.

    Raises:
        RefusedError: naming ``what``, what was given and what is accepted.

    """
    if required and not text.strip():
        raise RefusedError(f"the {what} is empty; it needs 1 to {column.length} characters")
    if len(text) > column.length:
        raise RefusedError(f"the {what} {shown(text)} has {len(text)} characters; at most {column.length} are accepted")
    if not text.isprintable():
        check_characters(what, text)
    if most_bytes is not None and len(text.encode()) > most_bytes:
        raise RefusedError(f"the {what} {shown(text)} has {len(text.encode())} bytes in UTF-8; at most {most_bytes} are accepted")
    if not column.takes_all and any(character > "\uffff" for character in text):
        raise RefusedError(
            f"the {what} {shown(text)} has a character above U+FFFF, which a column with the character set {column.charset} does not take"
        )


def check_name(what: str, name: str, column: TextColumn) -> None:
    """As ``check_text``, for a name, which is not empty and neither begins nor ends with a blank.

    Raises:
        RefusedError: it is not accepted.

    """
    check_text(what, name, column, required=True)
    if name != name.strip():
        raise RefusedError(f"the {what} {shown(name)} begins or ends with a blank, which is not accepted")


def shown(text: str) -> str:
    """Return a text as an error shows it: in quotation marks, and not too long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def check_characters(what: str, text: str) -> None:
    """Check that a text is valid and has no control characters.

    Raises:
        RefusedError: naming ``what`` and the first character that is not accepted.

    """
    for character in text:
        if unicodedata.category(character) in _FORBIDDEN:
            raise RefusedError(f"the {what} {shown(text)} has the control character U+{ord(character):04X}, which is not accepted")
        if "\ud800" <= character <= "\udfff":
            raise RefusedError(f"the {what} {shown(text)} is no valid text: what was given is not UTF-8")
