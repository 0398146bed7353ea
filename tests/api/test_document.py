"""`/openapi.json`: what is sent, how often it is made, and to whom."""

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keywright.api.document import DocumentRoute, Rendered, accepts_gzip
from keywright.app import create_app
from keywright.config import Settings
from keywright.service.faults import InvalidToken
from keywright.service.principal import Organization, Principal
from keywright.storage.migrate import migrate

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Äpfel"}}


class OneToken:
    """Knows one token, which has no permission at all."""

    async def authenticate(self, token: str) -> Principal:
        if token != "good.token.here":
            raise InvalidToken("It is not known.")
        organization = Organization(uuid4(), "https://id.acme.example/", "acme")
        return Principal(
            issuer=organization.issuer,
            subject="someone",
            client_id=None,
            organization=organization,
            granted=frozenset(),
        )


@pytest.fixture
def serving(tmp_path: Path) -> Callable[[str], Any]:
    """Opens a client of an application with a value of `KEYWRIGHT_OPENAPI`."""

    @asynccontextmanager
    async def opened(openapi: str) -> AsyncIterator[httpx.AsyncClient]:
        settings = Settings.model_validate(
            {
                "issuer": "https://id.acme.example/",
                "audience": "urn:acme",
                "database_url": f"sqlite:///{tmp_path}/keys.db",
                "openapi": openapi,
            }
        )
        migrate(settings.database_url.get_secret_value())
        app = create_app(settings, change=lambda plugs: replace(plugs, authenticator=OneToken()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
            yield http

    return opened


async def test_plain_and_compressed(serving: Callable[[str], Any]) -> None:
    """A client that accepts gzip gets the same document in a fraction of the bytes."""
    async with serving("on") as http:
        plain = await http.get("/openapi.json", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        compressed = await http.get("/openapi.json", headers={"Accept-Encoding": "br, gzip"})
        assert compressed.headers["content-encoding"] == "gzip"
        assert compressed.json() == plain.json()
        assert int(compressed.headers["content-length"]) * 5 < int(plain.headers["content-length"])
        assert compressed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


async def test_a_client_that_has_it(serving: Callable[[str], Any]) -> None:
    """A client that names the version it has gets 304 without a body; one that names another gets the document."""
    async with serving("on") as http:
        etag = (await http.get("/openapi.json")).headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            unchanged = await http.get("/openapi.json", headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
        assert (await http.get("/openapi.json", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_switched_off(serving: Callable[[str], Any]) -> None:
    """With `off` the document is like any path that does not exist."""
    async with serving("off") as http:
        answer = await http.get("/openapi.json")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_behind_a_token(serving: Callable[[str], Any]) -> None:
    """With `token` the document needs a token, of whatever permissions."""
    async with serving("token") as http:
        assert (await http.get("/openapi.json")).status_code == 401
        assert (await http.get("/openapi.json", headers={"Authorization": "Bearer bad.token.here"})).status_code == 401
        good = await http.get("/openapi.json", headers={"Authorization": "Bearer good.token.here"})
        assert good.json()["openapi"] == "3.1.0"


async def test_it_is_made_once() -> None:
    """However often the document is read, it is made, written and compressed once."""
    made = []

    def make() -> dict[str, Any]:
        made.append(1)
        return DOCUMENT

    route = DocumentRoute(make)
    bodies = {bytes((await route.openapi("gzip", None)).body) for _ in range(3)}
    assert len(made) == len(bodies) == 1
    assert gzip.decompress(bodies.pop()) == Rendered.of(DOCUMENT).plain


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        *((header, True) for header in ("gzip", "GZIP", "*", "br, gzip", "gzip;q=1.0", "br;q=1, gzip; q=0.5")),
        *((header, False) for header in (None, "", "br", "gzip;q=0", "gzip;q=0.000, br", "x-gzip", "gzipped")),
    ],
)
def test_gzip_is_accepted(header: str | None, accepted: bool) -> None:
    """gzip is used where the client names it, or everything, and does not weigh it 0."""
    assert accepts_gzip(header) is accepted
