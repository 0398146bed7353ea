"""The service as the benchmarks start it: quiet, with a verifier, a customer's token, and keys made over HTTP."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import httpx

from bench import cores
from keywright.dev.issuer import DevIssuer
from tests.history.nodes import create_verifier
from tests.live import environment, start_service
from tests.postgres import migrated_database, start_cluster

KEYS = "/api/v2/api-keys"
ORGANIZATION = "org_bench"
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}
"""PostgreSQL's settings for every measurement, peers included: what is acknowledged survives a power cut."""
_TOKEN_SECONDS = 36_000


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs, and what is needed to ask it."""

    url: str
    process_id: int
    credential: str
    token: str
    _client: httpx.Client = field(repr=False)

    def create(self, name: str = "bench") -> str:
        """Create a key over HTTP and give its text."""
        answer = self._client.post(f"{self.url}{KEYS}", json={"name": name}, headers=self._bearer(self.token))
        answer.raise_for_status()
        private_key: str = answer.json()["private_key"]
        return private_key

    def post(self, path: str, body: object) -> httpx.Response:
        """Ask as a verifier."""
        return self._client.post(f"{self.url}{path}", json=body, headers=self._bearer(self.credential))

    def manage(self, method: str, path: str) -> httpx.Response:
        """Ask as a customer."""
        answer = self._client.request(method, f"{self.url}{path}", headers=self._bearer(self.token))
        return answer.raise_for_status()

    def get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """Ask with these headers and no others."""
        return self._client.get(f"{self.url}{path}", headers=headers)

    def _bearer(self, text: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {text}"}


@contextmanager
def running(database_url: str | None = None, *, workers: int = 1, issuer: DevIssuer | None = None) -> Iterator[Running]:
    """
    Run the service: one worker on the serving core, several wherever there is one.

    Args:
        database_url: Where its keys are; a fresh SQLite file by default.
        workers: How many processes answer.
        issuer: Whom it trusts, running; one of its own by default.
    """
    with tempfile.TemporaryDirectory() as folder, nullcontext(issuer) if issuer else DevIssuer() as issuer:
        url = database_url or f"sqlite:///{folder}/keywright.db"
        credential = create_verifier(url, f"bench-{os.urandom(4).hex()}")
        settings = environment(issuer, database_url=url, metrics="off", log_level="warning")
        with cores.serving() if workers == 1 else cores.anywhere():
            service = start_service(settings, workers=workers)
        token = issuer.token(ORGANIZATION, expires_in=_TOKEN_SECONDS)
        with service, httpx.Client(trust_env=False, timeout=60) as client:
            yield Running(service.base_url, service.process.pid, credential, token, client)


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Give an empty migrated database of each engine, by name, both durable."""
    with tempfile.TemporaryDirectory() as folder:
        with cores.serving():
            cluster = start_cluster(**DURABLE)
        try:
            yield {"SQLite": f"sqlite:///{folder}/keywright.db", "PostgreSQL": migrated_database(cluster)}
        finally:
            cluster.remove()
