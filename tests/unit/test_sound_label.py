"""The encrypted label that stands in for a sound: TeamTalk's clients must be able to read it."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.models.sound_label import encrypt, sound_label

STOCK_KEY = "12345678901234567890123456789012"


def decrypt(label: bytes, key: str) -> bytes:
    decryptor = Cipher(algorithms.AES(key.encode()), modes.ECB()).decryptor()
    return decryptor.update(base64.b64decode(label)) + decryptor.finalize()


def test_label_with_the_stock_key_is_the_original_s() -> None:
    assert sound_label(STOCK_KEY) == b"QhGXlpFjvMFUNrtl1aaPzA=="


def test_label_decrypts_to_the_word_the_clients_show() -> None:
    key = "another key that has 32 characte"
    plain = decrypt(sound_label(key), key)
    assert plain[: plain[-1]].decode() == "[语音]"


@pytest.mark.parametrize(("length", "blocks"), [(0, 1), (1, 1), (12, 1), (13, 2), (15, 2), (16, 2), (28, 2), (29, 3), (32, 3)])
def test_the_last_four_bytes_are_always_free_for_the_length(length: int, blocks: int) -> None:
    plain = decrypt(encrypt(b"x" * length, STOCK_KEY.encode()), STOCK_KEY)
    assert len(plain) == blocks * 16
    assert plain == b"x" * length + b"\0" * (blocks * 16 - 4 - length) + length.to_bytes(4, "big")


@given(st.binary(max_size=100))
def test_any_text_can_be_read_again(text: bytes) -> None:
    plain = decrypt(encrypt(text, STOCK_KEY.encode()), STOCK_KEY)
    assert plain[: int.from_bytes(plain[-4:], "big")] == text
