"""The text of a message as TeamTalk's clients write and read it: encrypted with the installation's aesKey. Pure functions, any thread."""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from dbproxy.models.sound_label import encrypt

_LENGTH_BYTES = 4


def encrypt_text(text: str, aes_key: str) -> bytes:
    """Return ``text`` as the clients put it into ``msg_data``. ``aes_key``: 32 characters, those of ``aesKey`` in msgserver.conf.

    Raises:
        ValueError: the key has not 32 bytes.

    """
    return encrypt(text.encode(), aes_key.encode())


def decrypt_text(data: bytes, aes_key: str) -> str:
    """Undo ``encrypt_text``.

    Raises:
        ValueError: ``data`` was not encrypted with this key, or is no text.

    """
    try:
        blocks = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise ValueError("the text is not encrypted: it is no base64") from None
    decryptor = Cipher(algorithms.AES(aes_key.encode()), modes.ECB()).decryptor()
    plain = decryptor.update(blocks) + decryptor.finalize()
    length = int.from_bytes(plain[-_LENGTH_BYTES:], "big")
    if length > len(plain) - _LENGTH_BYTES:
        raise ValueError("the text was encrypted with another key")
    return plain[:length].decode()
