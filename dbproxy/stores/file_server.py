"""The file server (msfs), which keeps the sounds: upload with POST, download with GET. Any thread."""

from __future__ import annotations

import json
import threading
from typing import Any, Final, NamedTuple

import urllib3

from dbproxy.errors import FileServerError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls, Wait
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.timed_http import TimedRequest, reason_of, timed_connections

MAX_ANSWER = 64 * 1024
"""Bytes of the answer to an upload; what is longer is none."""


class FileServerReport(NamedTuple):
    """Requests sent, seconds for which threads waited for them, and how many failed: no answer, or a status of 500 and above."""

    calls: int
    seconds: float
    failures: int


class FileServer:
    """Uploads to ``site`` (a URL that ends in a slash) and downloads from where an upload went; each within ``timeout`` seconds.

    ``max_length`` bounds a sound, in bytes, both ways: the path of a download comes from a database row, so the answer is not trusted.
    """

    def __init__(self, site: str, timeout: float, connections: int, max_length: int, calls: BackendCalls = UNTRACKED) -> None:
        self._calls: Final = calls
        self._resolver: Final = Resolver()
        self._lock: Final = threading.Lock()
        self._requests = self._failures = 0
        self._seconds = 0.0
        self._site, self._timeout, self._max_length = site, timeout, max_length
        self._http = timed_connections(timeout, connections)

    def configure(self, site: str, timeout: float, connections: int, max_length: int) -> None:
        """Change the settings for requests that begin from now on; kept connections are closed."""
        self._site, self._timeout, self._max_length = site, timeout, max_length
        former, self._http = self._http, timed_connections(timeout, connections)
        former.clear()  # one that is in use is closed when its request is done

    def upload(self, sound: bytes) -> str:
        """Store ``sound`` and return the URL under which it can be fetched.

        Raises:
            FileServerError: the sound is too long, or the server cannot be reached, refused, or answered what is not understood.

        """
        if len(sound) > self._max_length:
            raise FileServerError(f"a sound of {len(sound)} bytes is longer than MaxAudioLength")
        fields = {"file": ("sound", sound, "application/octet-stream")}
        status, body = self._request("POST", self._site, MAX_ANSWER, fields)
        if status != 200:
            raise FileServerError(f"upload to {self._site}: HTTP status {status}")
        try:
            answer = json.loads(body)
            code, url = answer["error_code"], answer.get("url")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileServerError(f"upload to {self._site}: the answer is not understood") from error
        if code != 0 or not isinstance(url, str) or not url:
            raise FileServerError(f"upload to {self._site}: error_code {code!r}")
        return url

    def download(self, url: str, size: int) -> bytes:
        """Fetch a sound of ``size`` bytes.

        Raises:
            FileServerError: it is not there, or not of this size.

        """
        if size > self._max_length:
            raise FileServerError(f"{url}: {size} bytes are more than MaxAudioLength")
        status, sound = self._request("GET", url, size + 1)
        if status != 200:
            raise FileServerError(f"download of {url}: HTTP status {status}")
        if len(sound) != size:
            raise FileServerError(f"download of {url}: not the {size} bytes that were stored")
        return sound

    def _request(self, method: str, url: str, limit: int, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Return the status and at most ``limit`` bytes of the answer."""
        failed = True
        self._calls.begin()
        try:
            with TimedRequest(self._timeout, self._resolver):
                response = self._http.request(method, url, fields=fields, preload_content=False)
                try:
                    answer = response.status, response.read(limit)
                    failed = response.status >= 500
                    return answer
                finally:
                    response.close()  # one that was read to its end has given its connection back already
        except urllib3.exceptions.HTTPError as error:
            raise FileServerError(f"{method} {url} failed: {reason_of(error)}") from error
        finally:
            seconds = self._calls.end(Wait(method))
            with self._lock:
                self._requests += 1
                self._failures += failed
                self._seconds += seconds

    def report(self) -> FileServerReport:
        """What has been asked of the server since the start."""
        with self._lock:
            return FileServerReport(self._requests, self._seconds, self._failures)

    def close(self) -> None:
        """Close the kept connections."""
        self._http.clear()
