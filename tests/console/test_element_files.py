"""The files of the element over HTTP: paths, types, caching, and pages of other origins."""

import gzip
import tomllib
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest

from keywright.console.assets import TYPES, Assets
from keywright.dev.issuer import DevIssuer
from tests.live import environment, start_service
from tests.source import SOURCE

FOLDER = SOURCE / "console" / "static" / "element"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def http(issuer: DevIssuer) -> Iterator[httpx.Client]:
    """A browser of another origin: no token, no cookie."""
    with (
        start_service(environment(issuer)) as live,
        httpx.Client(base_url=live.base_url, headers={"Origin": "https://app.example"}, trust_env=False) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def folder(http: httpx.Client) -> str:
    """The versioned path, with a slash at the end."""
    location = http.get("/element/v1/keywright-keys.js").next_request
    assert location is not None
    return location.url.path.removesuffix("keywright-keys.js")


def test_the_stable_path_leads_to_the_versioned_one(http: httpx.Client) -> None:
    """The address that a page names redirects to that of the present version, and may be kept for minutes only."""
    response = http.get("/element/v1/keywright-keys.js")
    assert response.status_code == 307
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.next_request is not None
    assert http.send(response.next_request).content == (FOLDER / "keywright-keys.js").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_file(http: httpx.Client, folder: str, name: str) -> None:
    """Every file has its bytes, its type, its tag, and may be read by pages of any origin, and kept for a year."""
    content = (FOLDER / name).read_bytes()
    response = http.get(f"{folder}{name}", headers={"Accept-Encoding": "identity"})
    assert (response.status_code, response.content) == (200, content)
    headers = response.headers
    assert headers["content-type"] in TYPES.values()
    assert headers["content-type"].startswith("text/javascript") == name.endswith(".js")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in headers
    again = http.get(f"{folder}{name}", headers={"If-None-Match": f'"x", W/{headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", headers["etag"])


def test_compression(http: httpx.Client, folder: str) -> None:
    """A browser that accepts gzip gets it; caches keep both forms apart."""
    path = f"{folder}vendor/lit-core.js"
    for accepted, encoding in (("br, gzip;q=0.8", "gzip"), ("gzip;q=0", None), ("br", None), ("*", "gzip")):
        with http.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join(response.iter_raw())
        assert response.headers.get("content-encoding") == encoding
        assert response.headers["vary"] == "Accept-Encoding"
        plain = gzip.decompress(raw) if encoding else raw
        assert plain == (FOLDER / "vendor" / "lit-core.js").read_bytes()


@pytest.mark.parametrize("path", ["nothing.js", "../../../app.py", "%2e%2e/%2e%2e/assets.py", "vendor", "vendor/", ""])
def test_nothing_else_is_served(http: httpx.Client, folder: str, path: str) -> None:
    """Only the files of the folder are served, and only under the version that they have."""
    assert http.get(f"{folder}{path}").status_code == 404
    assert http.get("/element/v1/list.js").status_code == 404
    assert http.get("/element/0.0.1-000000000000/keywright-keys.js").status_code == 404


def test_methods(http: httpx.Client, folder: str) -> None:
    """Files can be read and nothing else."""
    assert http.head(f"{folder}keywright-keys.js").status_code == 200
    refused = http.post(f"{folder}keywright-keys.js")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_the_version_is_that_of_the_content() -> None:
    """The same files have the same version, another release has another one."""
    assert Assets("element", "1.2.3").version == Assets("element", "1.2.3").version
    assert Assets("element", "1.2.3").version.startswith("1.2.3-")


def test_what_is_vendored_is_what_its_description_says() -> None:
    """The vendored file has the digest that its description names."""
    described = tomllib.loads((FOLDER / "vendor" / "VENDOR.toml").read_text())
    assert sha256((FOLDER / "vendor" / "lit-core.js").read_bytes()).hexdigest() == described["sha256"]
