"""A caller of the running service: one organisation with a token."""

import uuid
from collections.abc import Iterator
from typing import Any, Self

import httpx

from keywright.dev.issuer import DevIssuer
from tests.live import LiveService

KEYS = "/api/v2/api-keys"


class Caller:
    """Calls the service over real HTTP with the token of one organisation of its own."""

    def __init__(self, service: LiveService, issuer: DevIssuer, organization: str | None = None, **claims: Any) -> None:
        self.service = service
        self.issuer = issuer
        self.organization = organization or f"org_{uuid.uuid4().hex[:16]}"
        self.http = httpx.Client(
            base_url=service.base_url,
            headers={"Authorization": f"Bearer {issuer.token(self.organization, **claims)}"},
            trust_env=False,
            timeout=20,
        )

    def another(self, **claims: Any) -> "Caller":
        """A caller of another organisation."""
        return Caller(self.service, self.issuer, **claims)

    def create(self, **body: Any) -> dict[str, Any]:
        """Create a key and give the answer."""
        response = self.http.post(KEYS, json={"name": "a key", **body})
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    def post(self, content: bytes, url: str = KEYS, **headers: str) -> httpx.Response:
        """Post bytes as the body of a creation, or of another request to *url*."""
        return self.http.post(url, content=content, headers={"Content-Type": "application/json", **headers})

    def pages(self, limit: int) -> Iterator[list[dict[str, Any]]]:
        """Follow the list from page to page by its links."""
        url: str | None = f"{KEYS}?limit={limit}"
        while url is not None:
            response = self.http.get(url)
            assert response.status_code == 200, response.text
            yield response.json()
            url = response.links.get("next", {}).get("url")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
