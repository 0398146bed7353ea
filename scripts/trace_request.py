"""
Print the modules of the service that a request passes, from its first byte in to its last byte out.

    python scripts/trace_request.py [--json]

The service runs in this process as `keywright serve` runs it, on a SQLite file. Each kind of request is sent many
times, with the options that it has, and a module counts when a function of it ran in every one of them, in any thread:
what background tasks do now and then is left out in this way.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

SOURCE = Path(__file__).parent.parent / "src"
PACKAGE = SOURCE / "keywright"
API = "/api/v2/api-keys"
TIMES = 40
PATIENCE_SECONDS = 60


class Trace:
    """Notes which files' functions run, in every thread that starts after `install`, while it is on."""

    def __init__(self) -> None:
        self._seen: set[str] | None = None

    def install(self) -> None:
        """Begin to watch calls in this thread and in later ones."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    @contextlib.contextmanager
    def on(self) -> Iterator[set[str]]:
        """Collect file names; the set is complete when this ends."""
        seen: set[str] = set()
        self._seen = seen
        try:
            yield seen
        finally:
            self._seen = None

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        seen = self._seen
        if seen is not None and event == "call":
            seen.add(frame.f_code.co_filename)


class Client:
    """One connection to the service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def send(self, path: str, credential: str, body: dict[str, Any]) -> Any:
        """
        POST *body*.

        Raises:
            SystemExit: The service refused it.
        """
        headers = {
            "Authorization": f"Bearer {credential}",
            "Content-Type": "application/json",
            **({"Idempotency-Key": str(uuid4())} if path == API else {}),
        }
        self._connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = self._connection.getresponse()
        read = json.loads(answer.read())
        if answer.status not in (200, 201):
            raise SystemExit(f"{path} answered {answer.status}: {read}")
        return read


def modules(trace: Trace, send: Callable[[], object]) -> list[str]:
    """Give the modules that every one of many requests passed, the first few of them not counted."""
    for _ in range(3):
        send()
    passed: set[str] | None = None
    for _ in range(TIMES):
        with trace.on() as seen:
            send()
        passed = set(seen) if passed is None else passed & seen
    own = str(PACKAGE) + os.sep
    return sorted(name.removeprefix(own) for name in passed or () if name.startswith(own))


def measure(trace: Trace, port: int, token: str, verifier: str) -> dict[str, list[str]]:
    """Trace a creation, and verifications: of a key never seen before, of a cached one, and of a refused one."""
    client, numbers = Client(port), count(1)

    def create() -> str:
        options = {"scopes": ["invoices:read"], "allowed_ips": ["192.0.0.0/16"]}
        created = client.send(API, token, {"name": f"Key {next(numbers)}", **options})
        return str(created["private_key"])

    def verify(key: str, scope: str = "invoices:read", *, valid: bool = True) -> None:
        number = next(numbers)
        address = f"192.0.{number // 250 % 250}.{number % 250}"
        answer = client.send(f"{API}/verify", verifier, {"key": key, "scopes": [scope], "client_ip": address})
        if answer["valid"] != valid:
            raise SystemExit(f"the wrong verdict: {answer}")

    found = {"create": modules(trace, create)}
    keys = [create() for _ in range(TIMES + 3)]
    fresh = iter(keys)
    found["verify, not yet cached"] = modules(trace, lambda: verify(next(fresh)))
    found["verify, cached"] = modules(trace, lambda: verify(keys[0]))
    found["verify, refused"] = modules(trace, lambda: verify(keys[0], "invoices:write", valid=False))
    return found


def wait_until_ready(port: int) -> None:
    """
    Wait for `/readyz`.

    Raises:
        SystemExit: It does not come up.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise SystemExit("the service did not come up")


def main() -> None:
    """Start the service here, trace it from another thread, and print what was found."""
    sys.path.insert(0, str(SOURCE))
    os.environ["PYTHONPATH"] = str(SOURCE)
    from keywright.cli import main as command_line
    from keywright.dev.issuer import DevIssuer

    with tempfile.TemporaryDirectory() as folder, DevIssuer() as issuer, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        os.environ |= {
            "KEYWRIGHT_ISSUER": issuer.url,
            "KEYWRIGHT_AUDIENCE": issuer.audience,
            "KEYWRIGHT_DATABASE_URL": f"sqlite:///{folder}/keywright.db",
            "KEYWRIGHT_PORT": str(port),
            "KEYWRIGHT_LOG_LEVEL": "warning",
            "KEYWRIGHT_METRICS": "off",
        }
        trace, found, failed = Trace(), dict[str, list[str]](), list[str]()

        def watch() -> None:
            try:
                wait_until_ready(port)
                command = [sys.executable, "-m", "keywright", "verifiers", "create", "trace", "--json"]
                made = subprocess.run(  # noqa: S603 - our own command
                    command, capture_output=True, text=True, check=True
                )
                found.update(measure(trace, port, issuer.token("acme"), json.loads(made.stdout)["credential"]))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - told below, once the service has ended
                failed.append(repr(error))
            os.kill(os.getpid(), signal.SIGTERM)

        watching = threading.Thread(target=watch)
        watching.start()
        trace.install()
        arguments, sys.argv = sys.argv, ["keywright", "serve"]
        with contextlib.suppress(SystemExit):
            command_line()
        sys.argv = arguments
        sys.setprofile(None)
        watching.join()
    if failed:
        raise SystemExit(failed[0])
    if "--json" in sys.argv[1:]:
        print(json.dumps(found))
        return
    for kind, names in found.items():
        print(f"{kind}: {len(names)} modules", *names, sep="\n  ")


if __name__ == "__main__":
    main()
