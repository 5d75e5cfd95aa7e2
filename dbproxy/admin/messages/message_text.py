"""What a stored text says: TeamTalk's clients encrypt it with the aesKey of the installation. One thread for each object."""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 16
_LENGTH_BYTES = 4
_SHORTEST = 24
"""Characters of base64 that one block takes."""


class MessageTexts:
    """Decrypts texts. Which of them are encrypted is not stored: what does not decrypt cleanly (base64 of whole blocks, a length that
    agrees with their number, valid UTF-8) is taken for a plain text. A plain text that is such base64 passes for an encrypted one once in
    2**28 cases.
    """

    def __init__(self, aes_key: str) -> None:
        """``aes_key``: 32 ASCII characters."""
        self._decryptor = Cipher(algorithms.AES(aes_key.encode()), modes.ECB()).decryptor()

    def read(self, content: bytes) -> tuple[str, bool]:
        """Return the text, and whether it was encrypted. What is no UTF-8 is replaced."""
        plain = self._decrypt(content)
        return (content.decode(errors="replace"), False) if plain is None else (plain, True)

    def _decrypt(self, content: bytes) -> str | None:
        if len(content) < _SHORTEST or len(content) % 4:
            return None
        try:
            blocks = base64.b64decode(content, validate=True)
        except binascii.Error:
            return None
        if len(blocks) % _BLOCK:
            return None
        plain = self._decryptor.update(blocks)  # whole blocks of ECB: nothing is left for the next call
        length = int.from_bytes(plain[-_LENGTH_BYTES:], "big")
        if (length + _LENGTH_BYTES + _BLOCK - 1) // _BLOCK * _BLOCK != len(plain):
            return None
        try:
            return plain[:length].decode()
        except UnicodeDecodeError:
            return None
