"""Sealed content."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keywright.service.sealing import seal, unseal

SECRET, INFO, ASSOCIATED = b"secret of 32 bytes, more or less", b"a use", b"a row"


def a_seal() -> bytes:
    return seal(b"content", secret=SECRET, info=INFO, associated=ASSOCIATED, entropy=lambda count: b"e" * count)


def test_as_it_is_written_down() -> None:
    """Salt, nonce and ciphertext are those of the module's docstring, to the byte."""
    key = HKDF(algorithm=SHA256(), length=32, salt=b"e" * 16, info=INFO).derive(SECRET)
    assert a_seal() == b"e" * 28 + AESGCM(key).encrypt(b"e" * 12, b"content", ASSOCIATED)


def test_opens() -> None:
    """With the same secret, use and row the content is there again."""
    assert unseal(a_seal(), secret=SECRET, info=INFO, associated=ASSOCIATED) == b"content"


@pytest.mark.parametrize("other", [{"secret": b"another"}, {"info": b"another use"}, {"associated": b"another row"}])
def test_opens_for_nothing_else(other: dict[str, bytes]) -> None:
    """Another secret, use or row opens nothing."""
    assert unseal(a_seal(), **{"secret": SECRET, "info": INFO, "associated": ASSOCIATED, **other}) is None


@pytest.mark.parametrize("sealed", [b"", b"e" * 16, a_seal()[:-1], a_seal()[:-1] + b"!", b"f" + a_seal()[1:]])
def test_altered(sealed: bytes) -> None:
    """Anything cut or altered opens nothing, and is no error."""
    assert unseal(sealed, secret=SECRET, info=INFO, associated=ASSOCIATED) is None
