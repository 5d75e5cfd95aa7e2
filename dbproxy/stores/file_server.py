"""The file server (msfs), which keeps the sounds: upload with POST, download with GET. Any thread."""

from __future__ import annotations

import json
from typing import Final

import urllib3

from dbproxy.errors import FileServerError


class FileServer:
    """Uploads to ``site`` (a URL that ends in a slash) and downloads from where an upload went; ``timeout`` in seconds bounds each step.

    ``max_length`` bounds a sound, in bytes, both ways: the path of a download comes from a database row, so the answer is not trusted.
    """

    def __init__(self, site: str, timeout: float, connections: int, max_length: int) -> None:
        self._site: Final = site
        self._max_length: Final = max_length
        self._http = urllib3.PoolManager(maxsize=connections, timeout=urllib3.Timeout(connect=timeout, read=timeout), retries=False)

    def upload(self, sound: bytes) -> str:
        """Store ``sound`` and return the URL under which it can be fetched.

        Raises:
            FileServerError: the sound is too long, or the server cannot be reached, refused, or answered what is not understood.

        """
        if len(sound) > self._max_length:
            raise FileServerError(f"a sound of {len(sound)} bytes is longer than MaxAudioLength")
        try:
            response = self._http.request("POST", self._site, fields={"file": ("sound", sound, "application/octet-stream")})
        except urllib3.exceptions.HTTPError as error:
            raise FileServerError(f"upload to {self._site} failed: {error}") from error
        if response.status != 200:
            raise FileServerError(f"upload to {self._site}: HTTP status {response.status}")
        try:
            answer = json.loads(response.data)
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
        try:
            response = self._http.request("GET", url, preload_content=False)
            try:
                sound = response.read(size + 1)
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise FileServerError(f"download of {url} failed: {error}") from error
        if response.status != 200:
            raise FileServerError(f"download of {url}: HTTP status {response.status}")
        if len(sound) != size:
            raise FileServerError(f"download of {url}: not the {size} bytes that were stored")
        return sound

    def close(self) -> None:
        """Close the kept connections."""
        self._http.clear()
