"""`keywright serve` as a process: its start, its refusals, its stop, its workers."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from keywright.dev.issuer import DevIssuer
from tests.cli.fake_service import fake_service
from tests.live import PATIENCE_SECONDS, bearer, clean_environment, environment, start_service
from tests.waiting import eventually

PATH = "/api/v2/api-keys"
# Nothing listens on the discard port of loopback.
UNAVAILABLE = "postgresql://keywright:hunter22@127.0.0.1:9/keywright"


def serve(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "keywright", "serve", *arguments],
        env=clean_environment({"KEYWRIGHT_PORT": "0", "KEYWRIGHT_METRICS": "off", **env}),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.fixture
def settings(issuer: DevIssuer, tmp_path: Path) -> dict[str, str]:
    """Settings of a service on a fresh SQLite file."""
    return environment(issuer, database_url=f"sqlite:///{tmp_path}/keywright.db")


def test_ready_is_one_json_line(issuer: DevIssuer, settings: dict[str, str]) -> None:
    """One line has the addresses of service and metrics, even if only errors are logged."""
    with start_service({**settings, "KEYWRIGHT_LOG_LEVEL": "error"}) as service:
        httpx.get(f"{service.base_url}{PATH}", headers=bearer(issuer)).raise_for_status()
        assert service.metrics_url is not None
        metrics = httpx.get(service.metrics_url).text
        lines = service.log_path.read_text().splitlines()
        (ready,) = service.log()
        assert len(lines) == 1
    assert (ready["event"], ready["url"], ready["metrics"]) == ("ready", service.base_url, service.metrics_url)
    assert 'keywright_http_requests_total{method="GET",route="/api/v2/api-keys",status="200"} 1.0' in metrics


def test_every_line_is_json(issuer: DevIssuer, settings: dict[str, str]) -> None:
    """Every log line, from the migration to the stop, is a JSON object."""
    with start_service(settings) as service:
        httpx.post(f"{service.base_url}{PATH}", json={"name": "x"}, headers=bearer(issuer)).raise_for_status()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(PATIENCE_SECONDS)
        lines = service.log_path.read_text().splitlines()
        events = [line["event"] for line in service.log()]
    assert len(lines) == len(events)
    assert "migrated" in events
    assert events[-1] == "stopped"


def test_embedded_database_migrates_itself_once(settings: dict[str, str]) -> None:
    """A SQLite file is brought up to date by the start; the next start finds nothing to do."""
    with start_service(settings) as service:
        assert httpx.get(f"{service.base_url}/readyz").json()["checks"]["database"] == "ok"
    with start_service(settings) as service:
        assert all(line["event"] != "migrated" for line in service.log())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"KEYWRIGHT_AUDIENCE": ""}, "KEYWRIGHT_AUDIENCE"),
        ({"KEYWRIGHT_PORT": "http"}, "KEYWRIGHT_PORT"),
        ({"KEYWRIGHT_DATABASE_URL": "mysql://me:hunter22@db/keys"}, "KEYWRIGHT_DATABASE_URL"),
    ],
)
def test_bad_setting(settings: dict[str, str], changed: dict[str, str], named: str) -> None:
    """A setting that is wrong stops the start with one sentence that names it."""
    done = serve({**settings, **changed})
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert named in sentence
    assert "hunter22" not in sentence


@pytest.mark.parametrize("variable", ["KEYWRIGHT_PORT", "KEYWRIGHT_METRICS"])
def test_busy_port(settings: dict[str, str], variable: str, tmp_path: Path) -> None:
    """A port in use stops the start with one sentence that names the setting, before anything else was done."""
    with fake_service({}) as other:
        address = other.url.removeprefix("http://")
        busy = address if variable == "KEYWRIGHT_METRICS" else address.rpartition(":")[2]
        done = serve({**settings, variable: busy})
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"Cannot listen on {address}: Address already in use.")
    assert variable in sentence
    assert list(tmp_path.iterdir()) == []


def test_database_that_cannot_be_written(settings: dict[str, str], tmp_path: Path) -> None:
    """An embedded database that cannot be opened stops the start."""
    done = serve({**settings, "KEYWRIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/no/such/folder/keywright.db"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The database cannot be used: ")


def test_absent_postgresql(issuer: DevIssuer, settings: dict[str, str]) -> None:
    """An unavailable PostgreSQL causes a warning and answers with 503, and does not stop the start."""
    with start_service({**settings, "KEYWRIGHT_DATABASE_URL": UNAVAILABLE}) as service:
        answer = httpx.get(f"{service.base_url}{PATH}", headers=bearer(issuer), timeout=30)
        ready = httpx.get(f"{service.base_url}/readyz", timeout=30)
        (warning,) = [line for line in service.log() if line["logger"] == "keywright.database"]
        assert "hunter22" not in service.log_path.read_text()
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert "Retry-After" in answer.headers
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"] != "ok"
    assert warning["level"] == "warning"
    assert warning["event"].startswith("the database cannot be reached")


def test_issuer_without_a_slash(issuer: DevIssuer, settings: dict[str, str]) -> None:
    """An issuer that does not end in a slash is taken as it is, and warned about."""
    with start_service({**settings, "KEYWRIGHT_ISSUER": issuer.url.rstrip("/")}) as service:
        warnings = [line["event"] for line in service.log() if line["level"] == "warning"]
    assert any("slash" in warning for warning in warnings)


def test_command_line_goes_before_the_environment(settings: dict[str, str]) -> None:
    """Options win over variables, in the workers too, which read the environment for themselves."""
    env = {**settings, "KEYWRIGHT_PORT": "http", "KEYWRIGHT_HOST": "203.0.113.1"}
    with start_service(env, arguments=["--host", "127.0.0.1", "--port", "0", "--workers", "2"]) as service:
        assert len(service.workers()) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_flight_finish(issuer: DevIssuer, settings: dict[str, str], workers: int) -> None:
    """A request that began before SIGTERM is answered and stored; then the process ends with code 0."""
    body = b'{"name": "in flight"}'
    with start_service(settings, workers=workers) as service:
        host, port = urlsplit(service.base_url).netloc.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
            head = (
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            )
            token = bearer(issuer)["Authorization"]
            # The interim answer shows that the request reached the route, which waits for the body.
            connection.sendall(f"{head}Authorization: {token}\r\nExpect: 100-continue\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
            service.process.send_signal(signal.SIGTERM)
            eventually(lambda: refuses(host, int(port)))
            connection.sendall(body)
            answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 201")
        assert service.process.wait(PATIENCE_SECONDS) == 0
    with start_service(settings) as service:
        (key,) = httpx.get(f"{service.base_url}{PATH}", headers=bearer(issuer)).json()
    assert key["name"] == "in flight"


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=PATIENCE_SECONDS).close()
    except OSError:
        return True
    return False


def test_dead_worker_is_replaced(issuer: DevIssuer, settings: dict[str, str]) -> None:
    """A worker that dies is replaced, and the others answer meanwhile."""
    with start_service(settings, workers=2) as service:
        before = service.workers()
        os.kill(before[0].pid, signal.SIGKILL)
        for _ in range(20):
            httpx.get(f"{service.base_url}{PATH}", headers=bearer(issuer)).raise_for_status()
        eventually(lambda: any("replaced" in line["event"] for line in service.log()))
        assert before[1] in service.workers()
        assert len(service.workers()) == 2


def test_metrics_of_all_workers(issuer: DevIssuer, settings: dict[str, str], tmp_path: Path) -> None:
    """The metrics of several workers are served as one, and the folder where they meet is gone afterwards."""
    folders = tmp_path / "tmp"
    folders.mkdir()
    with start_service({**settings, "TMPDIR": str(folders)}, workers=2) as service:
        for _ in range(30):
            # Each on a connection of its own, so that both workers get some.
            httpx.get(f"{service.base_url}{PATH}", headers=bearer(issuer)).raise_for_status()
        assert service.metrics_url is not None
        assert [path.name.startswith("keywright-metrics-") for path in folders.iterdir()] == [True]
        expected = 'keywright_http_requests_total{method="GET",route="/api/v2/api-keys",status="200"} 30.0'
        assert expected in httpx.get(service.metrics_url).text
    assert list(folders.iterdir()) == []


def test_workers_do_not_outlive_their_supervisor(settings: dict[str, str]) -> None:
    """When the supervising process is killed its workers end too, or they would hold the port."""
    with start_service(settings, workers=2) as service:
        workers = service.workers()
        service.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert alive == []
