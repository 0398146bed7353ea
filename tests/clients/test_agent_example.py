"""The example of an API server beside an agent does what its page says."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.api.verifier import create_verifier
from tests.clients.programs import clean
from tests.live import agent_environment, environment, start_agent, start_service
from tests.markdown import ROOT
from tests.oidc_installation import Installation

EXAMPLE = ROOT / "examples" / "agent" / "server.mjs"


@contextmanager
def serving(node: Path, socket: Path) -> Iterator[httpx.Client]:
    """Run the example, and give a client of it."""
    command, env = [node, EXAMPLE], clean({"KEYWRIGHT_AGENT": str(socket), "PORT": "0"})
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=20) as http:
                yield http
        finally:
            process.kill()


def test_an_api_server(installed: Installation, issuer: DevIssuer, tmp_path: Path) -> None:
    """Keys pass by their scopes; a refusal is 401 or 403, and an agent that is away 503."""
    socket = tmp_path / "agent.sock"
    with start_service(environment(issuer)) as service, Caller(service, issuer) as caller:
        good, other = (caller.create(name=scope, scopes=[scope])["private_key"] for scope in ("reports:read", "a:read"))
        listening = agent_environment(service, create_verifier(service, "agents"), agent_listen=f"unix:{socket}")
        with serving(installed.node, socket) as http:

            def code(key: str) -> tuple[int, str | None]:
                answer = http.get("/reports", headers={"Authorization": f"Bearer {key}"})
                return answer.status_code, answer.json().get("code")

            with start_agent(listening) as agent:
                agent.await_ready()
                assert code(good) == (200, None)
                assert code(other) == (403, "insufficient_scope")
                assert code("no-key") == (401, "not_found")
                assert http.get("/reports").json() == {"code": "missing_key"}
            assert code(good) == (503, "service_unavailable")
