"""What views read from forms and addresses, and files that they answer with. The thread of the request."""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import IO, TextIO, cast

from flask import request, send_file
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.people.named_users import LARGEST_ID
from dbproxy.admin.texts import shown
from dbproxy.admin.web.views import form_text, site

Answer = str | Response | tuple[str, int]
"""What a view returns: a page, with a status unless that is 200, or a response."""

ID = f"<int(max={LARGEST_ID}):%s>"
"""An id in the rule of an address: ``ID % "user_id"``."""

_LONGEST_POSITION = 40
"""Digits of where a page of a list begins."""

_SEPARATORS = re.compile(r"[\s,;，；、]+")


class ConflictError(RefusedError):
    """Somebody else has changed in the meantime what a form shows."""


def position(name: str = "after") -> int | None:
    """Return where the page of a list begins; None: at its beginning.

    Raises:
        BadRequest: the address has something else there.

    """
    text = request.args.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_POSITION):
        raise BadRequest(f"{name}={text[:_LONGEST_POSITION]} is no position in a list: a whole number is")
    return int(text)


def query_text(name: str, longest: int = 200) -> str:
    """Return a text of the address's query without the blanks around it, cut to ``longest`` characters."""
    return request.args.get(name, "").strip()[:longest]


def query_id(name: str) -> int | None:
    """Return an id of the address's query; None: it is missing.

    Raises:
        BadRequest: it is no id.

    """
    found = position(name)
    if found is not None and found > LARGEST_ID:
        raise BadRequest(f"{name}={found} is no id: the largest is {LARGEST_ID}")
    return found


def form_id(name: str, what: str) -> int:
    """Return an id of the form.

    Raises:
        RefusedError: it is no number from 0 to ``LARGEST_ID``.

    """
    text = form_text(name, 20)
    if not (text.isascii() and text.isdigit() and int(text) <= LARGEST_ID):
        raise RefusedError(f"the {what} is {shown(text)}; accepted is a whole number from 0 to {LARGEST_ID}")
    return int(text)


def words(text: str) -> list[str]:
    """Return the words of a text, which are separated by blanks, lines, commas or semicolons; each once."""
    return list(dict.fromkeys(filter(None, _SEPARATORS.split(text))))


def as_typed(value: str | int) -> str | int:
    """Return a value as a browser sends it back from a field in which it was shown and not touched, and as ``form_text`` reads it."""
    if isinstance(value, int):
        return value
    return value.replace("\r", "").replace("\n", "").replace("\0", "\ufffd").strip()


def fingerprint(*values: object) -> str:
    """Return what a form carries to know later whether ``values`` are still those that it was made with."""
    return hashlib.sha256(repr(values).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def beginning_of_day(text: str, what: str) -> int | None:
    """Return the unix time at which a day, written YYYY-MM-DD, begins where the server is; None: no day is given.

    Raises:
        RefusedError: it is no day.

    """
    return _beginning(text, what, 0)


def end_of_day(text: str, what: str) -> int | None:
    """As ``beginning_of_day``, but of the next day."""
    return _beginning(text, what, 1)


def _beginning(text: str, what: str, later: int) -> int | None:
    if not text:
        return None
    try:
        return int(datetime.combine(date.fromisoformat(text) + timedelta(days=later), time.min).timestamp())
    except (ValueError, OverflowError, OSError):
        raise RefusedError(f"the {what} is {shown(text)}; accepted is a day as 2026-01-31") from None


def download(file_name: str, mimetype: str, write: Callable[[TextIO], object]) -> Response:
    """Answer with a file that ``write`` fills. It is complete before the first byte is sent, so that an error becomes a page; and on the
    disk, in the directory of dbproxy-admin, so that its length costs no memory. Nobody can open it there, and it goes with the response.

    Raises:
        AdminError: the disk does not take it; and what ``write`` raises.

    """
    try:
        file = cast("IO[bytes]", tempfile.TemporaryFile(dir=site().directory))  # noqa: SIM115 - closed with the response
    except OSError as error:
        raise AdminError(f"no file can be made in {site().directory}: {error.strerror}") from None
    try:
        stream = io.TextIOWrapper(cast("io.BytesIO", file), encoding="utf-8", errors="backslashreplace", newline="")
        write(stream)
        stream.flush()
        stream.detach()
        length = file.tell()
        file.seek(0)
    except OSError as error:
        file.close()
        raise AdminError(f"the file cannot be written in {site().directory}: {error.strerror}") from None
    except BaseException:
        file.close()
        raise
    response = send_file(file, mimetype=mimetype, as_attachment=True, download_name=file_name)
    response.content_length = length
    return response
