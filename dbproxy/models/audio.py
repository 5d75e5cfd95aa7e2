"""Audio: the sounds of messages, which are stored on the file server (IMAudio). Any thread; all methods may wait for that server."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterable

from dbproxy.errors import FileServerError
from dbproxy.models.new_message import StoredSound
from dbproxy.stores.backend_calls import LARGE_RESULT, UNTRACKED, BackendCalls
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.mysql import ReadPool

logger = logging.getLogger(__name__)

DURATION = struct.Struct(">I")
"""The header of the sound in a message: its duration in seconds."""

MAX_SOUND_BYTES = 32 * 1024 * 1024
"""Bytes of sound in one list, at most: bounds the memory that one reply takes, and what a connection may have unsent."""


class AudioModel:
    """Uploads sounds before their messages are stored, and fetches them when messages are read.

    The row in IMAudio is written with the message, in one transaction (MessageStore).
    """

    def __init__(self, slave: ReadPool, file_server: FileServer, timeout: float, calls: BackendCalls = UNTRACKED) -> None:
        """``timeout``: seconds after which no further sound of one list is fetched."""
        self._calls = calls
        self._slave = slave
        self._file_server = file_server
        self._timeout = timeout

    def configure(self, timeout: float) -> None:
        """Change FileServerTimeout, in seconds. Any thread."""
        self._timeout = timeout

    def upload(self, data: bytes) -> StoredSound:
        """Upload the content of a sound message: duration and sound.

        Raises:
            FileServerError: there is no sound after the duration, or the upload failed.

        """
        if len(data) <= DURATION.size:
            raise FileServerError(f"a sound message of {len(data)} bytes holds no sound")
        sound = data[DURATION.size :]
        return StoredSound(self._file_server.upload(sound), len(sound), DURATION.unpack_from(data)[0])

    def fetch(self, audio_ids: Iterable[int]) -> dict[int, bytes]:
        """Duration and sound of those of the IMAudio ids whose sound can be downloaded."""
        among = ",".join(map(str, set(audio_ids)))
        if not among:
            return {}
        deadline = time.monotonic() + self._timeout
        sounds: dict[int, bytes] = {}
        total = 0
        for audio_id, path, size, duration in self._slave.select(f"select id,path,size,duration from IMAudio where id in ({among})"):
            if time.monotonic() > deadline:
                logger.error("the file server is too slow: the rest of a list of sounds is left out")
                break
            total += int(size)
            if total > MAX_SOUND_BYTES:
                logger.warning("a list has more than %d bytes of sound: the rest is left out", MAX_SOUND_BYTES)
                break
            try:
                sound = self._file_server.download((path or b"").decode(errors="replace"), int(size))
            except FileServerError as error:
                logger.error("sound %s: %s", audio_id.decode(), error)
                continue
            sounds[int(audio_id)] = DURATION.pack(int(duration)) + sound
        if total > LARGE_RESULT:
            self._calls.large_result()  # the reply will be as large
        return sounds
