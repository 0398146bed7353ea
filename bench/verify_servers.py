"""The servers that `bench.verify_http` measures, each one process on the same core."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench import cores
from bench.programs import HERE, PYTHON_PATH, nginx, node, python_module, started
from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint
from tests.history.nodes import create_verifier
from tests.live import LiveService, bearer, environment, start_service

KEYS = "/api/v2/api-keys"
VERIFY = f"{KEYS}/verify"
ON, OFF, ASGI, NODE, NGINX = "keywright", "keywright, accelerator off", "raw ASGI", "node", "nginx `return 200`"
PLAIN, FULL, UNKNOWN, MALFORMED = "plain", "scopes, network, limit", "unknown", "malformed"
CLIENT = "192.0.2.7"


class Contender(NamedTuple):
    """A server and what it is asked: its name and the case, where it is, the one process of it, the body."""

    name: str
    case: str
    url: str
    process: psutil.Process
    body: bytes


class Contest(NamedTuple):
    """All that is to be measured, and what each request shows of its sender."""

    contenders: list[Contender]
    credential: str


@contextmanager
def contest() -> Iterator[Contest]:
    """Start all servers on one core, and leave this process on another."""
    if not cores.TWO:
        raise SystemExit("This needs two cores.")
    with tempfile.TemporaryDirectory() as folder, DevIssuer() as issuer, ExitStack() as held:
        database = f"sqlite:///{folder}/keywright.db"
        credential = create_verifier(database, "bench")
        services = {
            name: held.enter_context(_service(issuer, database, accelerator))
            for name, accelerator in ((ON, "on"), (OFF, "off"))
        }
        bodies = _bodies(services[ON], bearer(issuer, "acme"))
        answers = {case: _answer(services[ON], credential, case, body) for case, body in bodies.items()}
        contenders = [
            Contender(name, case, f"{service.base_url}{VERIFY}", psutil.Process(service.process.pid), body)
            for case, body in bodies.items()
            for name, service in services.items()
        ]
        others = _references(held, Path(folder), json.loads(bodies[PLAIN])["key"], answers[PLAIN])
        contenders += [
            Contender(name, PLAIN, f"{url}/verify", psutil.Process(process_id), bodies[PLAIN])
            for name, (url, process_id) in others.items()
        ]
        with cores.asking():
            yield Contest(contenders, credential)


def _references(held: ExitStack, folder: Path, key: str, answer: str) -> dict[str, tuple[str, int]]:
    """Start what the service is held against, and give the URL and the process of each."""
    told: dict[str, list[Any]] = {"keys": [key], "answers": [json.loads(answer)], "headers": []}
    asgi = python_module("bench.reference_asgi", **told)
    url, process = held.enter_context(started(asgi, env=PYTHON_PATH))
    found = {ASGI: (url, process.pid)}
    if (binary := node()) is not None:
        command = [binary, HERE / "reference_node.mjs", *map(json.dumps, told.values())]
        url, process = held.enter_context(started(command))
        found[NODE] = (url, process.pid)
    if shutil.which("nginx") is not None:
        found[NGINX] = held.enter_context(nginx(folder, answer, [("cache-control", "no-store")]))
    return found


@contextmanager
def _service(issuer: DevIssuer, database: str, accelerator: str) -> Iterator[LiveService]:
    settings = environment(issuer, database_url=database, metrics="off", log_level="warning", accelerator=accelerator)
    with cores.serving():
        service = start_service(settings)
    with service:
        yield service


def _bodies(service: LiveService, headers: dict[str, str]) -> dict[str, bytes]:
    def created(**more: Any) -> str:
        wish = {"name": "bench", **more}
        response = httpx.post(f"{service.base_url}{KEYS}", json=wish, headers=headers, trust_env=False)
        assert response.status_code == 201, response.text
        key: str = response.json()["private_key"]
        return key

    limit = {"name": "minute", "limit": 1_000_000_000, "window_seconds": 60}
    full = created(scopes=["reports:read"], allowed_ips=["192.0.2.0/24"], rate_limits=[limit])
    asked: dict[str, dict[str, Any]] = {
        PLAIN: {"key": created()},
        FULL: {"key": full, "scopes": ["reports:read"], "client_ip": CLIENT, "cost": 1},
        UNKNOWN: {"key": mint(os.urandom(32), brand="kw", environment="live").private.reveal()},
        MALFORMED: {"key": "kw_sk_live_" + "x" * 49},
    }
    return {case: json.dumps(body, separators=(",", ":")).encode() for case, body in asked.items()}


def _answer(service: LiveService, credential: str, case: str, body: bytes) -> str:
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    response = httpx.post(f"{service.base_url}{VERIFY}", content=body, headers=headers, trust_env=False)
    assert response.json()["valid"] is (case in (PLAIN, FULL)), response.text
    return response.text
