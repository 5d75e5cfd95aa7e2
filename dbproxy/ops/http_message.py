"""The part of HTTP/1.1 that the endpoint for operators needs: one GET or HEAD per connection. No I/O; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_HEAD = 16 * 1024
"""Bytes of a request up to the empty line."""

END_OF_HEAD = b"\r\n\r\n"

_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.([01])\Z")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\Z")

_ALWAYS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}

TEXT = "text/plain; charset=utf-8"


class HttpError(Exception):
    """What ends a request with another status than 200; the text is shown to who has sent it."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request: the path without escapes, the parameters behind the question mark, headers with small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_head(head: bytes) -> Request:
    """Parse a request up to its empty line.

    Raises:
        HttpError: it is no request for anything here.

    """
    try:
        lines = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise HttpError(HTTPStatus.BAD_REQUEST, "not HTTP") from None
    line = _REQUEST_LINE.match(lines[0])
    if line is None:
        raise HttpError(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.0 or HTTP/1.1")
    method, target, minor = line.groups()
    headers: dict[str, str] = {}
    for text in lines[1:]:
        header = _HEADER.match(text)
        if header is None or (header[1].lower() in headers and header[1].lower() == "host"):
            raise HttpError(HTTPStatus.BAD_REQUEST, "a header is wrong")
        headers[header[1].lower()] = header[2]
    if method not in ("GET", "HEAD"):
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
    if minor == "1" and "host" not in headers:
        raise HttpError(HTTPStatus.BAD_REQUEST, "HTTP/1.1 needs the header Host")
    try:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True, max_num_fields=20))
        path = unquote(url.path, errors="strict")
    except ValueError:
        raise HttpError(HTTPStatus.BAD_REQUEST, "the address is wrong") from None
    return Request(method, path, query, headers)


def error_response(error: HttpError) -> Response:
    """Return the response that says what is wrong."""
    headers = {"Allow": "GET, HEAD"} if error.status is HTTPStatus.METHOD_NOT_ALLOWED else {}
    return Response(f"{error.status.value} {error.status.phrase}: {error}\n".encode(), status=error.status, headers=headers)


def serialize(response: Response, *, with_body: bool = True) -> bytes:
    """Return the bytes of a response; without its body (HEAD) its length is told all the same."""
    headers: dict[str, str] = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        **_ALWAYS,
        **response.headers,
    }
    if response.status is HTTPStatus.NOT_MODIFIED:
        del headers["Content-Length"]
        with_body = False
    head = f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("ascii") + b"\r\n" + (response.body if with_body else b"")
