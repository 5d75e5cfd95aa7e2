"""StaticFiles: the files of a directory, over HTTP. Any thread."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path

from dbproxy.ops.http_message import HttpError, Request, Response

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
}
"""Only files with these endings are served."""

INDEX = "index.html"


class StaticFiles:
    """All files below ``directory``, by their path; they are read once. What is not there when it is made is not served, so no path can
    lead elsewhere.
    """

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, tuple[Path, str]] = {}
        self._contents: dict[str, tuple[bytes, str]] = {}
        for file in directory.rglob("*"):
            content_type = _TYPES.get(file.suffix[1:])
            if content_type is not None and file.is_file():
                self._files[f"/{file.relative_to(directory).as_posix()}"] = file, content_type

    def respond(self, request: Request) -> Response:
        """Return a file, or that the client's copy is current.

        Raises:
            HttpError: there is no such file.

        """
        path = request.path + INDEX if request.path.endswith("/") else request.path
        found = self._files.get(path)
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "there is nothing here; see /metrics, /status.json, /connections.json, /healthz, /readyz")
        file, content_type = found
        if path not in self._contents:
            data = file.read_bytes()
            self._contents[path] = data, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        data, tag = self._contents[path]
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if tag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return Response(b"", content_type, HTTPStatus.NOT_MODIFIED, headers)
        return Response(data, content_type, headers=headers)
