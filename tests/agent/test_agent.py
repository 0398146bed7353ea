"""The agent as its users have it: a process of its own beside a running service."""

import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.pair import mint
from tests.api.caller import Caller
from tests.api.verifier import BATCH, VERIFY, Verifier, create_verifier, revoke_verifier
from tests.live import (
    LiveService,
    agent_environment,
    clean_environment,
    client_of,
    environment,
    start_agent,
    start_service,
)
from tests.waiting import eventually

KEYS = "/api/v2/api-keys"
ELSEWHERE, HOME = "198.51.100.7", "203.0.113.9"


_REQUEST_ID = re.compile(rb'"request_id":"[0-9a-f-]+"')


@pytest.fixture(scope="module")
def service(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service for these tests alone. Its store is behind it: tests/api/test_key_facts.py runs on both."""
    with start_service(environment(issuer)) as live:
        yield live


@pytest.fixture(scope="module")
def credential(service: LiveService) -> str:
    """The credential of the agents of these tests."""
    return create_verifier(service, "agents")


@pytest.fixture(scope="module")
def agent(service: LiveService, credential: str) -> Iterator[LiveService]:
    """An agent that follows the changes."""
    with start_agent(agent_environment(service, credential, agent_name="agent-1")) as live:
        live.await_ready()
        yield live


@pytest.fixture
def caller(service: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    """A caller whose organization nobody else uses."""
    with Caller(service, issuer) as made:
        yield made


@pytest.fixture
def both(service: LiveService, agent: LiveService, credential: str) -> Iterator[tuple[Verifier, Verifier]]:
    """An API server at the service, and the same one at the agent."""
    with Verifier(service, f"Bearer {credential}") as there, Verifier(agent, f"Bearer {credential}") as here:
        yield there, here


def same(there: httpx.Response, here: httpx.Response) -> None:
    """Hold two answers against each other: all but what belongs to one request."""
    bodies = [_REQUEST_ID.sub(b"", each.content) for each in (here, there)]
    assert (here.status_code, bodies[0]) == (there.status_code, bodies[1])
    own = {"date", "x-request-id"}
    headers = [{name: value for name, value in each.headers.items() if name not in own} for each in (there, here)]
    assert headers[0] == headers[1]


def test_the_same_answers(both: tuple[Verifier, Verifier], caller: Caller) -> None:
    """An agent answers like the service, byte for byte: on first sight, from memory, and when it refuses."""
    there, here = both
    limits = [{"name": "burst", "limit": 1000, "window_seconds": 60}]
    key = caller.create(
        name="Büro", scopes=["a:read"], allowed_ips=[f"{HOME}/32"], metadata={"plan": "pro"}, external_id="42"
    )["private_key"]
    disabled = caller.create(name="off")
    caller.http.patch(f"{KEYS}/{disabled['id']}", json={"enabled": False})
    long_metadata = caller.create(name="long", metadata={"text": "x" * 900})["private_key"]
    requests: list[dict[str, Any]] = [
        {"key": key, "client_ip": HOME, "scopes": ["a:read"]},
        {"key": key, "client_ip": ELSEWHERE},
        {"key": key, "client_ip": HOME, "scopes": ["b:write"], "explain": True},
        {"key": key, "client_ip": HOME, "include": ["metadata"]},
        {"key": key, "environment": "sandbox"},
        {"key": long_metadata, "include": ["metadata"]},
        {"key": disabled["private_key"]},
        {"key": f"{key[:-1]}_"},
        {"key": "no key"},
        {"key": key, "unknown": 1},
    ]
    for request in requests:
        for _ in range(2):
            same(there.http.post(VERIFY, json=request), here.http.post(VERIFY, json=request))
    body = {"keys": requests[:-1]}
    same(there.http.post(BATCH, json=body), here.http.post(BATCH, json=body))
    limited = caller.create(name="limited", rate_limits=limits)["private_key"]
    same(there.ask(limited), here.ask(limited))


def test_the_same_answers_to_proxies(both: tuple[Verifier, Verifier], caller: Caller, credential: str) -> None:
    """A proxy can ask an agent in the place of the service."""
    there, here = both
    key = caller.create(name="proxied", scopes=["a:read"])["private_key"]
    headers = {"X-Keywright-Verifier": credential, "X-API-Key": key}
    for path in ("/forward-auth", "/forward-auth?scope=a:read", "/forward-auth?scope=b", "/ext-authz/some/path"):
        for verifier in (there, here):
            verifier.http.headers.pop("Authorization", None)
        for _ in range(2):
            same(there.http.get(path, headers=headers), here.http.get(path, headers=headers))
    same(*(verifier.http.get("/forward-auth", headers={"X-API-Key": key}) for verifier in both))


def test_an_unknown_key_is_looked_up_again(both: tuple[Verifier, Verifier]) -> None:
    """A well-formed key that does not exist is `not_found`, whoever is asked."""
    there, here = both
    unknown = mint(bytes(range(32)), brand="kw", environment="live").private.reveal()
    same(there.ask(unknown), here.ask(unknown))


def test_a_revocation(both: tuple[Verifier, Verifier], caller: Caller) -> None:
    """A receipt names the agent, and what it acknowledged it refuses."""
    _, here = both
    key = caller.create(name="short-lived")
    assert here.code(key["private_key"]) == "valid"
    caller.http.put(f"{KEYS}/{key['id']}/revoke")

    def acknowledged() -> bool:
        verifiers = caller.http.get(f"{KEYS}/{key['id']}/revocation").json()["verifiers"]
        agents = [each for each in verifiers if each["kind"] != "process"]
        return bool(agents) and all(each["confirmed_at"] for each in agents)

    eventually(acknowledged)
    assert here.code(key["private_key"]) == "revoked"


def test_uses_reach_the_service(both: tuple[Verifier, Verifier], caller: Caller) -> None:
    """Uses that the agent accepted count for the key, with their source."""
    _, here = both
    key = caller.create(name="counted")
    for _ in range(3):
        assert here.code(key["private_key"], client_ip=HOME) == "valid"
    eventually(lambda: caller.http.get(f"{KEYS}/{key['id']}/usage").json()["last_used_at"])
    usage = caller.http.get(f"{KEYS}/{key['id']}/usage").json()
    assert [(source["network"], source["count"]) for source in usage["sources"]] == [("203.0.113.0/24", 3)]


def test_callers_on_a_port(agent: LiveService, credential: str) -> None:
    """On a port callers need the credential, which is the agent's own unless another one is set."""
    with client_of(agent) as client:
        assert client.post(VERIFY, json={"key": "x"}).json()["code"] == "missing_token"
        wrong = client.post(VERIFY, json={"key": "x"}, headers={"Authorization": "Bearer something"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_token")
        good = client.post(VERIFY, json={"key": "x"}, headers={"Authorization": f"Bearer {credential}"})
        assert good.json()["code"] == "not_found"
        assert client.get("/api/v2/api-keys").json()["code"] == "not_found"
        assert client.get("/metrics").status_code == 404


def test_a_credential_for_callers(service: LiveService, credential: str) -> None:
    """With a credential for callers the agent accepts that one, and its own no longer."""
    chosen = "a-credential-of-this-machine"
    with start_agent(agent_environment(service, credential, agent_credential=chosen, metrics="path")) as agent:
        agent.await_ready()
        with Verifier(agent, f"Bearer {chosen}") as mine, Verifier(agent, f"Bearer {credential}") as other:
            assert mine.code("x") == "not_found"
            assert other.ask("x").status_code == 401
            assert "keywright_verdicts_total" in mine.http.get("/metrics").text


def test_a_unix_socket(service: LiveService, credential: str, caller: Caller, tmp_path: Path) -> None:
    """On a Unix socket callers need no credential; its mode is 0660, and it is gone with the agent."""
    path = tmp_path / "agent.sock"
    key = caller.create(name="local")["private_key"]
    env = agent_environment(service, credential, agent_listen=f"unix:{path}")
    with start_agent(env) as agent:
        agent.await_ready()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with Verifier(agent, None) as verifier:
            assert [verifier.code(key) for _ in range(3)] == ["valid"] * 3
            assert verifier.http.get("/forward-auth", headers={"X-API-Key": key}).status_code == 200
        second = agent_that_ends(env)
        assert second.returncode == 2
        assert "Address already in use" in second.stderr
        agent.kill()
    assert path.is_socket()
    with start_agent(env) as agent:
        agent.await_ready()
    assert not path.exists()


def agent_that_ends(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "keywright", "agent"]
    return subprocess.run(command, env=clean_environment(env), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({}, "KEYWRIGHT_URL is required"),
        ({"KEYWRIGHT_URL": "https://keys.example"}, "KEYWRIGHT_VERIFIER is required"),
        ({"KEYWRIGHT_URL": "https://keys.example", "KEYWRIGHT_VERIFIER": "secret"}, "keywright verifiers create"),
        ({"KEYWRIGHT_URL": "x", "KEYWRIGHT_VERIFIER": "x", "KEYWRIGHT_AGENT_LISTEN": "8080"}, "KEYWRIGHT_AGENT_LISTEN"),
        (
            {
                "KEYWRIGHT_URL": "x",
                "KEYWRIGHT_VERIFIER": "x",
                "KEYWRIGHT_AGENT_CREDENTIAL": "a secret of several words",
            },
            "KEYWRIGHT_AGENT_CREDENTIAL",
        ),
    ],
)
def test_settings(env: dict[str, str], sentence: str) -> None:
    """A setting that is missing or malformed ends the start with one sentence, which shows no value."""
    done = agent_that_ends(env)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_an_outage(issuer: DevIssuer) -> None:
    """Without the service cached keys are accepted as stale, others are 503, and afterwards all is as before."""
    with start_service(environment(issuer)) as service:
        credential = create_verifier(service, "agents")
        with Caller(service, issuer) as caller:
            key, unseen = (caller.create(name=name)["private_key"] for name in ("seen", "unseen"))
        env = agent_environment(service, credential)
        with start_agent(env) as agent, Verifier(agent, f"Bearer {credential}") as verifier:
            agent.await_ready()
            assert verifier.code(key) == "valid"
            service.process.send_signal(signal.SIGSTOP)
            eventually(lambda: verifier.ask(key).json().get("stale"))
            stale = verifier.ask(key)
            assert (stale.status_code, stale.json()["valid"], stale.json()["stale"]) == (200, True, True)
            missing = verifier.ask(unseen)
            assert (missing.status_code, missing.json()["code"]) == (503, "storage_unavailable")
            assert int(missing.headers["Retry-After"]) >= 1
            assert verifier.code("no key") == "not_found"
            service.process.send_signal(signal.SIGCONT)
            eventually(lambda: verifier.ask(unseen).status_code == 200)
            eventually(lambda: "stale" not in verifier.ask(key).json())


def test_a_long_outage(issuer: DevIssuer) -> None:
    """
    A service that is gone for longer than the outage time: known keys are stale until then, and 503 afterwards.

    Neither is a key refused for the outage, nor does the agent end: it goes on by itself when the service is back.
    """
    with start_service(environment(issuer)) as service:
        credential = create_verifier(service, "agents")
        with Caller(service, issuer) as caller:
            key = caller.create(name="seen")["private_key"]
        env = agent_environment(service, credential, outage_seconds="6")
        with start_agent(env) as agent, Verifier(agent, f"Bearer {credential}") as verifier:
            agent.await_ready()
            assert verifier.code(key) == "valid"
            service.process.send_signal(signal.SIGSTOP)
            statuses = []
            while not statuses or statuses[-1][0] != 503:
                answer = verifier.ask(key)
                statuses.append((answer.status_code, answer.json().get("valid"), answer.json().get("stale")))
                time.sleep(0.05)
            assert set(statuses) <= {(200, True, None), (200, True, True), (503, None, None)}
            assert (200, True, True) in statuses
            assert int(verifier.ask(key).headers["Retry-After"]) >= 1
            service.process.send_signal(signal.SIGCONT)
            eventually(lambda: verifier.ask(key).status_code == 200 and "stale" not in verifier.ask(key).json())


def test_a_credential_that_was_revoked(issuer: DevIssuer) -> None:
    """An agent that the service no longer accepts neither accepts nor refuses any key, and its log says why."""
    with start_service(environment(issuer)) as service:
        credential = create_verifier(service, "agents")
        with Caller(service, issuer) as caller:
            key = caller.create(name="seen")["private_key"]
        env = agent_environment(service, credential)
        with start_agent(env) as agent, Verifier(agent, f"Bearer {credential}") as verifier:
            agent.await_ready()
            assert verifier.code(key) == "valid"
            revoke_verifier(service, "agents")
            eventually(lambda: verifier.ask(key).status_code == 503)
            assert verifier.code("no key") == "not_found"
            eventually(lambda: any("does not accept" in str(line) for line in agent.log()))


def test_killed_and_restarted_under_revocations(
    service: LiveService, credential: str, caller: Caller, tmp_path: Path
) -> None:
    """Killed at any time and started again, an agent accepts no key for longer than the bound after its revocation."""
    env = agent_environment(service, credential, agent_listen=f"unix:{tmp_path / 'agent.sock'}")
    keys = [caller.create(name=f"key {number}") for number in range(3)]
    for key in keys:
        with start_agent(env) as agent, Verifier(agent, None) as verifier:
            assert verifier.code(key["private_key"]) == "valid"
            caller.http.put(f"{KEYS}/{key['id']}/revoke").raise_for_status()
            revoked = time.monotonic()
            agent.kill()
        with start_agent(env) as agent, Verifier(agent, None) as verifier:
            asked = time.monotonic()
            code = verifier.code(key["private_key"])
            assert code == "revoked" or asked - revoked <= BOUND_SECONDS
