"""One issuer, whose RSA key is made once, and the parts that check its tokens."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from keywright.auth.access_token import AccessTokens
from keywright.auth.jwks import KeySet
from tests.auth.fakes import FakeKeys, FakeProvider, FakeTime
from tests.auth.issuer import AUDIENCE, ISSUER, NOW, Issuer

MakeAccessTokens = Callable[..., AccessTokens]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer("key-1")


@pytest.fixture(scope="session")
def other_issuer() -> Issuer:
    """Another key under the same name, as a forger would have it."""
    return Issuer("key-1")


@pytest.fixture
def keys(issuer: Issuer) -> FakeKeys:
    return FakeKeys(issuer.jwk())


@pytest.fixture
def make_access_tokens(keys: FakeKeys) -> MakeAccessTokens:
    def make(**settings: Any) -> AccessTokens:
        parts: dict[str, Any] = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "key_set": keys,
            "clock": lambda: datetime.fromtimestamp(NOW, UTC),
        }
        return AccessTokens(**(parts | settings))

    return make


@pytest.fixture
def access_tokens(make_access_tokens: MakeAccessTokens) -> AccessTokens:
    return make_access_tokens()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def provider(issuer: Issuer) -> FakeProvider:
    return FakeProvider(issuer.jwk())


@pytest.fixture
def fetched() -> list[str]:
    """What the key set reported of its fetches."""
    return []


@pytest.fixture
async def key_set(provider: FakeProvider, time: FakeTime, fetched: list[str]) -> AsyncIterator[KeySet]:
    key_set = KeySet(
        ISSUER, transport=provider.transport, on_fetch=fetched.append, monotonic=time.monotonic, sleep=time.sleep
    )
    yield key_set
    await key_set.close()
