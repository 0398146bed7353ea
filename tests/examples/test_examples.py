"""The examples, started as their own words say, each in a process of its own, against a service over real HTTP."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.client.fake_service import ACK, PATIENCE_SECONDS, VERIFY, Canned, FakeService, eventually, fake_service
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*_app.py"))
# Commands of the environment's own folder, wherever it is.
SCRIPTS = Path(sys.executable).parent


def told_by(example: Path) -> str:
    """Find the command that an example is started by, in its docstring."""
    told = re.search(r": (.* 8000)$", example.read_text(), re.MULTILINE)
    assert told is not None
    return told[1]


def command_of(example: Path, port: int) -> list[str]:
    """Give that command with a port of our own and this interpreter."""
    program, *arguments = told_by(example).replace("8000", str(port)).split()
    return [sys.executable if program == "python" else str(SCRIPTS / program), *arguments]


@contextmanager
def running(example: Path, fake: FakeService) -> Iterator[httpx.Client]:
    """Run an example until it has been called enough; fail when it does not end when told."""
    port = free_port()
    settings = {"KEYWRIGHT_URL": fake.url, "KEYWRIGHT_VERIFIER": fake.credential, "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command_of(example, port),
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            preexec_fn=_hear_interrupts,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                _wait_until_it_answers(client, process)
                yield client
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)
        except BaseException:
            log.seek(0)
            print(log.read().decode())
            raise
        finally:
            process.kill()
            process.wait()


def _hear_interrupts() -> None:
    # A shell has what it runs in the background ignore them, and whoever is started from there does, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_until_it_answers(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 3 * PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/healthz").status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError("it did not come up")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(example: Path) -> None:
    """
    An example lets a good key pass, refuses none, a wrong, a weak, a revoked one and two at once, says 503 when the
    service is away, and takes leave of the service when it ends.
    """
    with fake_service() as fake:
        org_id = uuid4()
        good, weak = fake.create(scopes=("reports:read",), org_id=org_id), fake.create()
        with running(example, fake) as client:
            for headers in ({"Authorization": f"Bearer {good}"}, {"X-API-Key": good}):
                response = client.get("/reports", headers=headers)
                assert (response.status_code, response.json()["organisation"]) == (200, str(org_id))
            refused = {
                (401, "missing_key"): {},
                (401, "not_found"): {"X-API-Key": good[:-1]},
                (403, "insufficient_scope"): {"X-API-Key": weak},
                (400, "several_keys"): {"X-API-Key": weak, "Authorization": f"Bearer {good}"},
            }
            for (status, code), headers in refused.items():
                response = client.get("/reports", headers=headers)
                assert (response.status_code, response.json()["code"]) == (status, code)
            change = fake.revoke(good)
            eventually(lambda: change in fake.confirmed)
            assert client.get("/reports", headers={"X-API-Key": good}).json()["code"] == "revoked"
            fake.canned[VERIFY] = Canned(503, b"", {"Retry-After": "7"})
            response = client.get("/reports", headers={"X-API-Key": fake.create()})
            assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
        assert fake.asked(ACK)[-1].body["closed"] is True


def test_every_framework_has_one() -> None:
    """There is an example for each kind of application that has a middleware, and the table names it."""
    table = (ROOT / "examples" / "README.md").read_text()
    assert [example.name for example in EXAMPLES] == ["asgi_app.py", "django_app.py", "fastapi_app.py", "flask_app.py"]
    for example in EXAMPLES:
        assert f"`{told_by(example)}`" in table
