"""The label that stands in for a sound in summaries. Pure functions, any thread."""

from __future__ import annotations

import base64
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SOUND_LABEL = "[语音]"
"""What the clients show instead of a sound, once they have decrypted it."""

_BLOCK = 16
_LENGTH = struct.Struct(">I")


def encrypt(plain: bytes, key: bytes) -> bytes:
    """Encrypt as TeamTalk's clients expect it: AES-256-ECB of the text, padded with zeros such that the last four bytes are free for its
    length (big-endian), as base64. ``key`` has 32 bytes.
    """
    blocks = (len(plain) + _LENGTH.size + _BLOCK - 1) // _BLOCK
    padded = plain.ljust(blocks * _BLOCK - _LENGTH.size, b"\0") + _LENGTH.pack(len(plain))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize())


def sound_label(aes_key: str) -> bytes:
    """The encrypted label for the key of the configuration."""
    return encrypt(SOUND_LABEL.encode(), aes_key.encode())
