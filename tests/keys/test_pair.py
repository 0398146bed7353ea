"""The pair, and the type that guards its private half."""

import copy
import hashlib
import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.format import is_private_key
from keywright.keys.pair import (
    PrivateKey,
    PublicKey,
    mint,
    mint_credential,
    parse,
    parse_credential,
    parse_public,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_format.json").read_text())
SEED = bytes(range(32))


@pytest.fixture
def key() -> PrivateKey:
    return mint(SEED, brand="kw", environment="live").private


@given(st.binary(min_size=32, max_size=32))
def test_a_pair_signs_and_verifies(seed: bytes) -> None:
    """What is signed with the private key's bytes verifies with the public key's bytes: the pair is real."""
    pair = mint(seed, brand="kw", environment="live")
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(b"request")
    Ed25519PublicKey.from_public_bytes(pair.public.value).verify(signature, b"request")


def test_rfc_8032_vector() -> None:
    """The first test vector of RFC 8032, section 7.1, gives its public key."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert mint(seed, brand="kw", environment="live").public.value == public


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["private_key_display"])
def test_vectors(vector: dict[str, str]) -> None:
    """The published seeds give the published pairs and digests."""
    pair = mint(bytes.fromhex(vector["seed_hex"]), brand=vector["brand"], environment=vector["environment"])
    assert pair.private.reveal() == vector["private_key"]
    assert pair.public.text == vector["public_key"]
    assert pair.private.digest.hex() == vector["digest_hex"]
    assert parse(vector["private_key"], brand=vector["brand"]) == pair.private
    assert parse_public(vector["public_key"]) == pair.public


def test_digest_is_domain_separated_sha256(key: PrivateKey) -> None:
    """The digest is SHA-256 over a fixed prefix and the text, and nothing else."""
    assert key.digest == hashlib.sha256(b"keywright.v1\0" + key.reveal().encode()).digest()


def test_parse_knows_its_own(key: PrivateKey) -> None:
    """A key of another brand, a public key and a text with a flaw are not read as a private key."""
    assert parse(key.reveal(), brand="kw") == key
    assert parse(key.reveal(), brand="acme") is None
    assert parse(mint(SEED, brand="kw", environment="live").public.text, brand="kw") is None
    assert parse(key.reveal()[:-1], brand="kw") is None
    assert is_private_key(key.reveal(), brand="kw")
    assert not is_private_key(key.reveal(), brand="acme")
    assert not is_private_key(mint(SEED, brand="kw", environment="live").public.text, brand="kw")
    assert not is_private_key(key.reveal()[:-1], brand="kw")
    assert parse_public(key.reveal()) is None
    assert parse_public("") is None


def test_shows_its_display_only(key: PrivateKey) -> None:
    """No way of printing, formatting, copying out or serialising a private key shows its text."""

    @dataclass
    class Holder:
        private_key: PrivateKey

    body = key.reveal()[-49:-6]
    shown = [
        repr(key),
        str(key),
        f"{key}",
        f"{key:>80}",
        f"{key!r}",
        "%s" % (key,),  # noqa: UP031 - the old way of formatting counts too
        repr({"key": key}),
        repr(asdict(Holder(key))),
        json.dumps({"key": key}, default=str),
        repr(pickle.dumps(key)),
        repr(pickle.loads(pickle.dumps(key))),  # noqa: S301 - our own bytes
        repr(mint(SEED, brand="kw", environment="live")),
    ]
    assert [text for text in shown if body in text] == []
    assert str(key) == "kw_sk_live_..." + key.reveal()[-4:]
    with pytest.raises(TypeError):
        json.dumps(key)
    with pytest.raises(TypeError):
        vars(key)


def test_copies_are_itself(key: PrivateKey) -> None:
    """Copying does not multiply the secret."""
    assert copy.copy(key) is key
    assert copy.deepcopy({"key": key})["key"] is key


def test_does_not_change(key: PrivateKey) -> None:
    """A private key cannot be altered after it was made."""
    with pytest.raises(AttributeError, match="does not change"):
        key.display = "something else"


def test_equality(key: PrivateKey) -> None:
    """Two private keys are equal when their texts are, hash alike, and equal nothing else."""
    assert key == mint(SEED, brand="kw", environment="live").private
    assert hash(key) == hash(mint(SEED, brand="kw", environment="live").private)
    assert key != mint(SEED, brand="kw", environment="sandbox").private
    assert key != key.reveal()


def test_public_key_keeps_its_brand() -> None:
    """The text of a public key depends on what it was minted with, not on today's settings."""
    public = mint(SEED, brand="acme", environment="eu").public
    assert public.text.startswith("acme_pk_eu_")
    assert parse_public(public.text) == PublicKey(public.value, "acme", "eu")


def test_credential() -> None:
    """A verifier's credential is read as such alone, of its own brand alone, and shows its display only."""
    credential = mint_credential(SEED, brand="kw")
    assert parse_credential(credential.reveal(), brand="kw") == credential
    assert parse_credential(credential.reveal(), brand="acme") is None
    assert parse(credential.reveal(), brand="kw") is None
    assert not is_private_key(credential.reveal(), brand="kw")
    assert parse_credential(mint(SEED, brand="kw", environment="live").private.reveal(), brand="kw") is None
    assert str(credential) == "kw_vk_..." + credential.reveal()[-4:]
