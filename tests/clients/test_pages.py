"""The pages on the clients in other languages are true: their programs run, as they stand there, on a service."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from keywright.client import ManagementClient
from tests.clients.conftest import NewCaller
from tests.clients.programs import clean, run
from tests.live import PATIENCE_SECONDS
from tests.markdown import ROOT, blocks, read
from tests.oidc_installation import Installation
from tests.ports import free_port

HERE = "192.0.2.7"
CHECKING, EXPRESS, HONO, FETCH, MANAGING, LOST = blocks(read("docs/clients/javascript.md"), "js")
CHECKING_IN_GO, MIDDLEWARE_IN_GO, MANAGING_IN_GO = blocks(read("docs/clients/go.md"), "go")
(REQUIRE,) = blocks(read("docs/clients/go.md"), "sh")

BEFORE = "import { Verifier } from 'keywright-client';\nconst text = process.env.KEY;\n"
VERIFIER = "const verifier = new Verifier(process.env.KEYWRIGHT_URL, process.env.KEYWRIGHT_VERIFIER);\n"
# What follows each middleware: its answers to a good key from its network, from elsewhere, and to no key.
REQUESTS = """
const good = { 'X-API-Key': text, 'X-Forwarded-For': '192.0.2.7', 'CF-Connecting-IP': '192.0.2.7' };
for (const headers of [good, { 'X-API-Key': text }, {}]) console.log((await get(headers)).status);
"""
LISTEN = """
const server = app.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const get = (headers) => fetch(`http://127.0.0.1:${server.address().port}/invoices`, { headers });
"""
GET = {
    EXPRESS: LISTEN,
    HONO: "const get = (headers) => app.request('/invoices', { headers });",
    FETCH: "const get = (headers) => handler(new Request('http://api.acme.example/invoices', { headers }));",
}


@pytest.fixture
def caller(new_caller: NewCaller) -> Mapping[str, str]:
    """A caller of the service, with a key that the checks of the pages let pass from one network."""
    names = new_caller()
    with ManagementClient(names["KEYWRIGHT_URL"], names["KEYWRIGHT_TOKEN"]) as keys:
        created = keys.create("Page", scopes=["invoices:read"], allowed_ips=[f"{HERE}/32", "127.0.0.2/32"])
    assert created.private_key is not None
    return {**names, "KEY": created.private_key.reveal(), "ORG": str(created.org_id)}


def node(installed: Installation, folder: Path, program: str, caller: Mapping[str, str]) -> list[str]:
    """Run a program in JavaScript, and give its lines."""
    (folder / "page.mjs").write_text(program)
    return run(installed.node, "page.mjs", cwd=folder, **caller).splitlines()


def test_javascript(installed: Installation, javascript: Path, caller: Mapping[str, str]) -> None:
    """The programs on checking and managing keys do what the page says."""
    program = "const text = process.env.KEY;\n" + CHECKING + MANAGING + LOST
    told = node(installed, javascript, program, caller)
    assert told[0].startswith(f"whose: {caller['ORG']}")
    assert "Billing export null" in told
    assert any(line.startswith("acknowledged: ") for line in told)
    assert told[-1] == "api_key.created"


@pytest.mark.parametrize("block", [EXPRESS, HONO, FETCH], ids=["express", "hono", "fetch"])
def test_javascript_middlewares(
    installed: Installation, javascript: Path, caller: Mapping[str, str], block: str
) -> None:
    """The application lets a good key from its network pass, and nobody else."""
    told = node(installed, javascript, BEFORE + VERIFIER + block + GET[block] + REQUESTS + "process.exit();", caller)
    assert told == ["200", "403", "401"]


def built(go: Path, folder: Path, program: str) -> Path:
    """Build a program in Go in a module of its own, which has the client as the page says."""
    (folder / "main.go").write_text(program)
    run(go, "mod", "init", "acme.example/invoices", cwd=folder)
    command = REQUIRE.strip().replace("./keywright/clients/go", str(ROOT / "clients" / "go"))
    run(go, *command.split()[1:], cwd=folder)
    run(go, "vet", ".", cwd=folder)
    run(go, "build", "-o", "page", ".", cwd=folder)
    return folder / "page"


@pytest.mark.early
class TestGo:
    """The programs in Go."""

    def test_checking(self, go: Path, tmp_path: Path, caller: Mapping[str, str]) -> None:
        """A good key is told apart from others."""
        program = built(go, tmp_path, CHECKING_IN_GO)
        assert run(program, caller["KEY"], cwd=tmp_path, **caller) == f"whose: {caller['ORG']}\n"
        assert run(program, "kw_sk_live_other", cwd=tmp_path, **caller) == "refused: not_found\n"

    def test_managing(self, go: Path, tmp_path: Path, caller: Mapping[str, str]) -> None:
        """A key is created, changed, found and revoked."""
        told = run(built(go, tmp_path, MANAGING_IN_GO), cwd=tmp_path, **caller).splitlines()
        assert told[0].startswith("kw_sk_live_...")
        assert told[0].endswith(" has 60 characters")
        assert told[1:] == ["found: Billing export"]

    def test_middleware(self, go: Path, tmp_path: Path, caller: Mapping[str, str]) -> None:
        """The application lets a good key from its network pass, and nobody else."""
        program = built(go, tmp_path, MIDDLEWARE_IN_GO)
        with serving(program, tmp_path, caller) as client:
            headers = {"X-API-Key": caller["KEY"], "X-Forwarded-For": HERE}
            answer = client.get("/invoices", headers=headers)
            assert (answer.status_code, answer.text) == (200, f"{caller['ORG']}\n")
            assert client.get("/invoices", headers={"X-API-Key": caller["KEY"]}).status_code == 403
            assert client.get("/invoices").status_code == 401


@contextmanager
def serving(program: Path, folder: Path, caller: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Run a server until it has been called enough."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([program, address], cwd=folder, env=clean(dict(caller)), stdin=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    client.get("/")
                    break
            yield client
    finally:
        process.kill()
        process.wait()
