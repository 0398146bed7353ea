"""`/docs` over HTTP: its policy, its document and files, when it is there, and whose pages it lets call the API."""

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from keywright.app import create_app
from keywright.config import Settings
from keywright.console.assets import Assets
from keywright.console.docs import POLICY, ReferencePage
from keywright.dev.issuer import DevIssuer
from tests.live import bearer, environment, start_service
from tests.markdown import ROOT
from tests.oidc_installation import NotObtainableError, install
from tests.provision import unavailable
from tests.source import SOURCE

FOLDER = SOURCE / "console" / "static" / "docs"
FILES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".html"
)
KEYS = "/api/v2/api-keys"
VERIFY = f"{KEYS}/verify"
SANDBOXED = {"Origin": "null"}


@pytest.fixture(scope="module")
def http(issuer: DevIssuer) -> Iterator[httpx.Client]:
    """A client of a service with its own settings but the issuer."""
    with start_service(environment(issuer)) as live, httpx.Client(base_url=live.base_url, trust_env=False) as http:
        yield http


def client_of(**settings: str) -> httpx.AsyncClient:
    named = {"issuer": "https://id.acme.example/", "audience": "urn:acme", "database_url": "sqlite:///none.db"}
    app = create_app(Settings.model_validate({**named, **settings}))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright")


def document_in(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="document">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def test_the_page(http: httpx.Client) -> None:
    """The page has the document in it and a policy that gives it an origin of its own, and no other may frame it."""
    answer = http.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"] == POLICY
    directives = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert directives["sandbox"].split() == ["allow-scripts", "allow-forms", "allow-downloads"]
    assert (directives["default-src"], directives["frame-ancestors"]) == ("'none'", "'none'")
    assert "unsafe" not in POLICY
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert document_in(answer.text) == http.get("/openapi.json").json()


def test_a_client_that_has_it(http: httpx.Client) -> None:
    """A browser asks each time, and gets 304 for the page that it has."""
    answer = http.get("/docs")
    assert answer.headers["cache-control"] == "private, no-cache"
    again = http.get("/docs", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.headers["content-security-policy"]) == (304, POLICY)


def test_its_files(http: httpx.Client) -> None:
    """Each file has its bytes, under a path with the version, and may be kept for a year."""
    found = re.search(r'src="(docs/[^/]+)/start.js"', http.get("/docs").text)
    assert found is not None
    for name in FILES:
        answer = http.get(f"/{found[1]}/{name}")
        assert (answer.status_code, answer.content) == (200, (FOLDER / name).read_bytes())
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("page.html", "nothing", "../../app.py", ""):
        assert http.get(f"/{found[1]}/{path}").status_code == 404
    assert http.get("/docs/0.0.1-000000000000/start.js").status_code == 404


def test_methods_and_slash(http: httpx.Client) -> None:
    """The page can be read and nothing else; with a slash at the end it is found, too."""
    assert http.head("/docs").status_code == 200
    refused = http.post("/docs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert http.get("/docs/", follow_redirects=True).url.path == "/docs"


async def test_text_cannot_end_the_document() -> None:
    """A document with the end of a script element in a text stays one text."""
    document = {"info": {"description": "</script><script>alert(1)</script><!--"}}

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(ReferencePage(Assets("docs", "1"), lambda: document)), base_url="http://keywright"
    ) as http:
        page = (await http.get("/docs")).text
    assert "alert(1)</script>" not in page
    assert document_in(page) == document


@pytest.mark.parametrize(
    "settings", [{"docs": "off"}, {"openapi": "off"}, {"openapi": "token"}], ids=["off", "no document", "token"]
)
async def test_switched_off(settings: dict[str, str]) -> None:
    """Off, or where not everybody may read the document, it is 404, and pages without an origin are refused."""
    async with client_of(**settings) as http:
        assert (await http.get("/docs")).json()["code"] == "not_found"
        for path in (KEYS, VERIFY):
            asked = {**SANDBOXED, "Access-Control-Request-Method": "GET"}
            for answer in (await http.options(path, headers=asked), await http.get(path, headers=SANDBOXED)):
                assert "access-control-allow-origin" not in answer.headers
                assert answer.status_code in (401, 405)


@pytest.mark.parametrize("path", [KEYS, VERIFY, f"{VERIFY}/batch", f"{KEYS}/x/rotate"])
async def test_a_preflight(path: str) -> None:
    """The page may send a token and the headers of the API, and never cookies."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
    async with client_of() as http:
        answer = await http.options(path, headers={**SANDBOXED, **asked})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "null")
        assert "access-control-allow-credentials" not in answer.headers


def test_a_call(http: httpx.Client, issuer: DevIssuer) -> None:
    """Answers of all parts of the API can be read by the page, refusals among them, and those of caches."""
    good = bearer(issuer, permissions=["read:api_keys", "verify:api_keys"])
    for headers, status in (({}, 401), (good, 200)):
        listed = http.get(KEYS, headers={**SANDBOXED, **headers})
        assert (listed.status_code, listed.headers["access-control-allow-origin"]) == (status, "null")
        assert "access-control-allow-credentials" not in listed.headers
        for _ in range(3):
            checked = http.post(VERIFY, headers={**SANDBOXED, **headers}, json={"key": "kw_sk_live_x"})
            assert (checked.status_code, checked.headers["access-control-allow-origin"]) == (status, "null")


def test_pages_of_other_origins(http: httpx.Client, issuer: DevIssuer) -> None:
    """A page that has an origin gets no answer that it may read; nor does one without, outside the API."""
    for origin in ("https://evil.example", "NULL", "null, null"):
        answer = http.get(KEYS, headers={"Origin": origin, **bearer(issuer)})
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (200, False)
    for path in ("/readyz", "/openapi.json", "/docs", "/forward-auth"):
        assert "access-control-allow-origin" not in http.get(path, headers=SANDBOXED).headers


async def test_beside_origins_that_are_allowed() -> None:
    """Origins of `KEYWRIGHT_CORS_ORIGINS` are answered as without the page, and the page beside them."""
    async with client_of(cors_origins="https://app.example") as http:
        for origin, allowed in (("https://app.example", "https://app.example"), ("null", "null"), ("https://x", None)):
            answer = await http.get(KEYS, headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert len(answer.headers.get_list("access-control-expose-headers")) <= 1


async def test_files_are_read_when_asked_for() -> None:
    """Nothing is read, rendered or compressed before somebody opens the page."""
    made: list[str] = []

    def make() -> dict[str, Any]:
        made.append("document")
        return {}

    assets = Assets("docs", "1")
    app = Starlette(routes=[Route("/", PlainTextResponse("")), Route("/docs", ReferencePage(assets, make))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
        await http.get("/")
        assert (made, "by_path" in vars(assets)) == ([], False)
        for _ in range(2):
            await http.get("/docs")
        assert (made, "by_path" in vars(assets)) == (["document"], True)


def test_what_is_vendored_is_what_its_description_says() -> None:
    """Every vendored file has the digest that the description names."""
    vendor = FOLDER / "vendor"
    described = tomllib.loads((vendor / "VENDOR.toml").read_text())["sha256"]
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir()}
    assert {name: digest for name, digest in found.items() if name != "VENDOR.toml"} == described


@pytest.fixture(scope="module")
def vendoring() -> ModuleType:
    """The script that wrote the vendored files."""
    spec = importlib.util.spec_from_file_location("vendor_swagger_ui", ROOT / "scripts" / "vendor_swagger_ui.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_vendored_is_what_was_published(vendoring: ModuleType) -> None:
    """The vendored files are those of the package that npm has, byte for byte."""
    try:
        folder = install(source=ROOT / "tests" / "browser" / "npm", name="browser").folder / "node_modules"
    except NotObtainableError as error:
        unavailable(error.what, error.command)
    vendor = FOLDER / "vendor"
    assert vendoring.read(folder) == {name: (vendor / name).read_bytes() for name in vendoring.FILES}
    assert vendoring.description(folder) == (vendor / "VENDOR.toml").read_text()
    assert {path.name for path in Path(vendor).iterdir()} == {*vendoring.FILES, "VENDOR.toml"}
