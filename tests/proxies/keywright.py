"""Keywright as a proxy knows it: at one address, where it may be killed, started again, or stood in for."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import httpx

from keywright.dev.issuer import DevIssuer
from tests import forked
from tests.live import PATIENCE_SECONDS, LiveService, bearer, clean_environment, environment, start_service
from tests.ports import free_port

KEYS = "/api/v2/api-keys"
IDENTITY = (
    "X-Keywright-Org",
    "X-Keywright-Key-Id",
    "X-Keywright-Environment",
    "X-Keywright-Scopes",
    "X-Keywright-External-Id",
    "X-Keywright-Org-External-Id",
    "X-Keywright-Created-By",
    "X-Keywright-Metadata",
)
"""The headers of the answer about a good key."""


class HasStatus(Protocol):
    """Something that was answered."""

    @property
    def status(self) -> int: ...


Answered = TypeVar("Answered", bound=HasStatus)


class Keywright:
    """
    The service on a port of its own.

    `credential` is that of the verifier `edge`.
    """

    def __init__(self, issuer: DevIssuer, *, database_url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._issuer = issuer
        self._settings = environment(
            issuer, database_url=database_url, port=str(self.port), trusted_proxies="127.0.0.0/8"
        )
        self._service: LiveService | None = None
        self.start()
        self.credential = self.make_verifier("edge")

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._service is None:
            self._service = start_service(self._settings)

    def kill(self) -> None:
        """End it at once."""
        if self._service is not None:
            self._service.kill()
            self._service = None

    def create_key(self, **more: Any) -> dict[str, Any]:
        """Create a key; *more* are other fields of the request."""
        created: dict[str, Any] = self._manage("POST", "", json={"name": "a key", **more}).json()
        return created

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        self._manage("PUT", f"/{key_id}/revoke")

    def delete(self, key_id: str) -> None:
        """Delete a key."""
        self._manage("DELETE", f"/{key_id}")

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Have it killed, and started again in the end."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def make_verifier(self, name: str) -> str:
        """Make a verifier and give its credential."""
        credential: str = json.loads(self._command("create", name, "--json"))["credential"]
        return credential

    def revoke_verifier(self, name: str) -> None:
        """Revoke a verifier."""
        self._command("revoke", name)

    def warnings(self) -> list[dict[str, Any]]:
        """Give what was logged of misconfigured proxies."""
        assert self._service is not None
        return [line for line in self._service.log() if line.get("logger") == "keywright.forward_auth"]

    def log(self) -> str:
        """Give all that was logged."""
        assert self._service is not None
        return self._service.log_path.read_text()

    def _manage(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = f"{self.url}{KEYS}{path}"
        response = httpx.request(method, url, headers=bearer(self._issuer), trust_env=False, timeout=20, **more)
        assert response.is_success, response.text
        return response

    def _command(self, *arguments: str) -> str:
        done = forked.command("verifiers", *arguments, env=clean_environment(self._settings))
        assert done.returncode == 0, done.stderr
        return done.stdout


def until_refused(ask: Callable[[], Answered]) -> Answered:
    """Give the first answer that is not 200: what was revoked may be believed a moment longer, within the bound."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := ask()).status == 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


@contextlib.contextmanager
def stand_in(port: int, answer: bytes | None) -> Iterator[None]:
    """Answer every connection to *port* with *answer*, or never where it is None."""
    connections: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                if answer is not None:
                    with contextlib.suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(answer)
                    connection.close()

    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            # Closing alone does not wake a thread that waits in accept.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()
