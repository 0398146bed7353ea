"""The page on Python is true: its blocks are run in order, one section after the other, against a running service."""

import inspect
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import httpx
import pytest
from django.http import HttpResponse  # type: ignore[import-untyped]
from django.test import RequestFactory, override_settings  # type: ignore[import-untyped]

import tests.client.django_project  # noqa: F401  (sets Django up)
from keywright.client import AsyncVerifier, ManagementClient, Verifier
from keywright.client.integrations._guard import Guard, KeyRefused
from keywright.client.integrations.django import KeywrightDjangoMiddleware, the_verifier
from keywright.client.verifier import Verdict
from keywright.dev.issuer import DevIssuer
from keywright.keys.verdict import Code
from tests.api.verifier import create_verifier
from tests.client.asgi import caller
from tests.live import environment, start_service
from tests.markdown import bare, blocks, code, read, table

PAGE = read("docs/reference/python.md")
HERE = "192.0.2.7"


class Running(NamedTuple):
    """A service, and who may call it."""

    url: str
    token: str
    credential: str


@pytest.fixture(scope="module")
def running(issuer: DevIssuer) -> Iterator[Running]:
    """A service with a verifier."""
    with start_service(environment(issuer)) as service:
        yield Running(service.base_url, issuer.token("acme"), create_verifier(service, "invoices"))


@pytest.fixture
def page(running: Running, monkeypatch: pytest.MonkeyPatch) -> "Page":
    """The page beside that service."""
    monkeypatch.setenv("KEYWRIGHT_URL", running.url)
    monkeypatch.setenv("KEYWRIGHT_TOKEN", running.token)
    monkeypatch.setenv("KEYWRIGHT_VERIFIER", running.credential)
    with ManagementClient(running.url, running.token) as keys:
        created = keys.create("Billing export", scopes=["invoices:read"], allowed_ips=["192.0.2.0/24"])
    assert created.private_key is not None
    return Page(created.private_key.reveal())


class Page:
    """Runs sections of the page with one set of names."""

    def __init__(self, text: str) -> None:
        self.names: dict[str, Any] = {"text": text}
        exec("import os\nfrom keywright.client import AsyncVerifier, Verifier", self.names)  # noqa: S102
        self.text = text

    def run(self, *headings: str, **names: Any) -> dict[str, Any]:
        """Run the blocks below each heading."""
        self.names |= names
        for heading in headings:
            for block in blocks(section(heading), "python"):
                exec(compile(block, heading, "exec"), self.names)  # noqa: S102
        return self.names


def section(heading: str) -> str:
    """Give what stands between a heading and the next one of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    return match[1]


def test_every_block_is_run() -> None:
    """No block of Python stands outside the sections that are run here."""
    named = [
        "Managing keys",
        "In an event loop",
        "When an answer is lost",
        "Checking keys",
        "ASGI",
        "FastAPI",
        "WSGI",
        "Flask",
        "Django",
    ]
    assert sum(len(blocks(section(heading), "python")) for heading in named) == len(blocks(PAGE, "python"))


def test_managing_keys(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """Both clients do what the page says; an answer that was lost is asked for again."""
    names = page.run("Managing keys", "In an event loop", "When an answer is lost")
    with closing(names["keys"]):
        assert names["created"].external_id == "customer-1742"
        assert names["key"].scopes == ("invoices:read", "reports:read")
        assert names["new_text"] != names["text"]
        again = names["keys"].create("Order 1742", idempotency_key="order-1742-8c1b9a6e54f2d370")
        assert again.replayed
        assert again.id == names["order"].id
        assert "Nightly report" in names["names"]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Billing export")
    assert "'api_key.revoked', 'api_key.rotation_changed', 'api_key.rotated'" in told[-1]


def test_checking_keys(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """Both verifiers let a good key pass."""
    names = page.run("Checking keys")
    assert names["allowed"]
    assert names["verdict"].valid
    assert capsys.readouterr().out.startswith("whose: ")


def test_refusals_are_those_of_the_middlewares() -> None:
    """The table has every code with the status that the middlewares answer."""
    rows = {name: status for codes, status in table(PAGE, "`verdict.code`") for name in code(codes)}
    statuses = {}
    for found in Code:
        try:
            Guard().pass_or_refuse(Verdict(found))
        except KeyRefused as refused:
            statuses[found.value] = str(refused.status)
    assert {name: status[:3] for name, status in rows.items() if name not in ("valid", "Retry-After")} == statuses
    assert "valid" in rows


def test_options() -> None:
    """The table has the options of both verifiers that are not for tests, with their defaults."""
    rows = {
        bare(name): re.sub(r"(?<=\d),(?=\d{3})", "", default) for name, _, default in table(PAGE, "option", "meaning")
    }
    for made in (Verifier, AsyncVerifier):
        named = {name: parameter.default for name, parameter in inspect.signature(made).parameters.items()}
        ours = {"url", "credential", "transport", "timing", "clock", "wall"}
        assert rows.keys() == named.keys() - ours
        for name in rows.keys() - {"name"}:
            assert rows[name].strip("`") == str(named[name])


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """An application that knows nothing of keys."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.mark.parametrize("framework", ["ASGI", "FastAPI"])
async def test_asgi(page: Page, framework: str) -> None:
    """The application lets a good key from its network pass, and nobody else."""
    app = page.run(framework, app=inner)["app"]
    verifier: Any = app._verifier if framework == "ASGI" else app.state.keywright
    async with verifier, caller(app, client=("127.0.0.1", 1)) as client:
        headers = {"X-API-Key": page.text, "X-Forwarded-For": HERE}
        assert (await client.get("/invoices", headers=headers)).status_code == 200
        assert (await client.get("/invoices", headers={"X-API-Key": page.text})).status_code == 403
        assert (await client.get("/invoices")).status_code == 401


@pytest.mark.parametrize("framework", ["WSGI", "Flask"])
def test_wsgi(page: Page, framework: str) -> None:
    """The application lets a good key from its network pass, and nobody else."""

    def plain(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"{}"]

    names = page.run(framework, app=plain)
    transport = httpx.WSGITransport(names["app"], remote_addr="127.0.0.1")
    with closing(names["verifier"]), httpx.Client(transport=transport, base_url="http://api.acme.example") as client:
        headers = {"X-API-Key": page.text, "X-Forwarded-For": HERE}
        assert client.get("/invoices", headers=headers).status_code == 200
        assert client.get("/invoices", headers={"X-API-Key": page.text}).status_code == 403
        assert client.get("/invoices").status_code == 401


def test_django(page: Page) -> None:
    """Settings and view, as they stand there, let a good key from its network pass, and nobody else."""
    names = page.run("Django")
    good = {"X-API-Key": page.text, "X-Forwarded-For": HERE}
    requests = [RequestFactory(headers=headers).get("/invoices") for headers in (good, {"X-API-Key": page.text}, {})]
    the_verifier.cache_clear()
    with override_settings(KEYWRIGHT=names["KEYWRIGHT"], MIDDLEWARE=names["MIDDLEWARE"]), closing(the_verifier()):
        assert names["MIDDLEWARE"] == [f"{KeywrightDjangoMiddleware.__module__}.{KeywrightDjangoMiddleware.__name__}"]
        whole = KeywrightDjangoMiddleware(lambda _request: HttpResponse("{}"))
        for answer in (whole, names["invoices"]):
            assert [answer(request).status_code for request in requests] == [200, 403, 401]
    the_verifier.cache_clear()
