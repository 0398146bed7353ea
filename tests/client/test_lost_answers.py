"""
Lost answers against the service itself, on each store: what is sent again is done once.

That is so for creations and rotations, and for the uses that a verifier reports.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from keywright.client import AsyncVerifier, KeywrightError, ManagementClient, ServiceUnavailable
from keywright.dev.issuer import DevIssuer
from tests.api.verifier import create_verifier
from tests.client.fake_service import eventually_async
from tests.client.losing import LosesReports
from tests.client.shells import QUICK
from tests.live import LiveService


class Losing(httpx.BaseTransport):
    """A network that delivers every request, and loses the first answers on their way back."""

    def __init__(self, lost: int) -> None:
        self._lost = lost
        self._network = httpx.HTTPTransport()
        self.delivered = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and lose its answer where the test wants it."""
        response = self._network.handle_request(request)
        response.read()
        self.delivered += 1
        if self.delivered <= self._lost:
            raise httpx.ReadError("the connection was reset")
        return response

    def close(self) -> None:
        """Give the connections back."""
        self._network.close()


@pytest.fixture
def token(issuer: DevIssuer) -> str:
    """A token of an organisation of its own."""
    return issuer.token(str(uuid4()))


@contextmanager
def client(service: LiveService, token: str, lost: int = 0) -> Iterator[tuple[ManagementClient, Losing]]:
    network = Losing(lost)
    with ManagementClient(service.base_url, token, transport=network, pauses=(0.0, 0.0)) as keys:
        yield keys, network


def test_a_creation(service: LiveService, token: str) -> None:
    """Two answers are lost; the third brings the private key of the one key that was made."""
    with client(service, token, lost=2) as (keys, network):
        created = keys.create("Billing export", scopes=["invoices:read"])
        assert network.delivered == 3
        assert created.replayed
        assert created.private_key is not None
        assert [key.id for key in keys.iterate()] == [created.id]
        assert created.public_key == keys.get(created.id).public_key
        assert [event.type for event in keys.iterate_events()] == ["api_key.created"]


def test_a_rotation(service: LiveService, token: str) -> None:
    """A rotation whose answer is lost is done once, although a second one would be refused."""
    with client(service, token) as (keys, _):
        created = keys.create("Billing export")
    with client(service, token, lost=1) as (keys, network):
        rotated = keys.rotate(created.id, if_match=created.etag)
        assert network.delivered == 2
        assert rotated.replayed
        assert [secret.public_key for secret in rotated.secrets] == [rotated.public_key, created.public_key]
        assert [event.type for event in keys.iterate_events()] == ["api_key.rotated", "api_key.created"]


def test_given_up_and_taken_up(service: LiveService, token: str) -> None:
    """When every answer is lost, the idempotency key of the error gives the result to a later call."""
    with client(service, token, lost=3) as (keys, _):
        with pytest.raises(ServiceUnavailable) as caught:
            keys.create("Billing export")
        assert len(list(keys.iterate())) == 1
    with client(service, token) as (keys, _):
        created = keys.create("Billing export", idempotency_key=caught.value.idempotency_key)
        assert created.private_key is not None
        assert [key.id for key in keys.iterate()] == [created.id]
        with pytest.raises(KeywrightError) as refused:
            keys.create("Something else", idempotency_key=caught.value.idempotency_key)
        assert getattr(refused.value, "code", None) == "idempotency_key_reused"


async def test_uses(service: LiveService, token: str) -> None:
    """A report is sent again and again until there is an answer, and every use and refusal is counted once."""
    with client(service, token) as (keys, _):
        created = keys.create("Billing export")
        assert created.private_key is not None
        text = created.private_key.reveal()
        credential, network = create_verifier(service, f"lost-{uuid4()}"), LosesReports()
        async with AsyncVerifier(service.base_url, credential, transport=network, timing=QUICK) as verifier:
            assert await verifier.verify(text)
            assert not await verifier.verify(text, scopes=["nobody:has"])
            await eventually_async(lambda: network.lost, "the report")
            for _ in range(3):
                assert await verifier.verify(text)
                assert not await verifier.verify(text, scopes=["nobody:has"])
                assert not await verifier.verify(text, scopes=["nobody:has"], cost=0)
            await eventually_async(lambda: network.lost > 2, "three tries")
            network.losing = False
        usage = keys.usage(created.id)
        assert sum(hour.count for hour in usage.counts) == 4
        assert [source.count for source in usage.sources] == [4]
        assert sum(hour.refused.get("insufficient_scope", 0) for hour in usage.counts) == 4
        assert [(source.code, source.count) for source in usage.refusals] == [("insufficient_scope", 4)]
