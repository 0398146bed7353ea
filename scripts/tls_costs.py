"""
Measure what TLS costs a service: processor time of a request and of a new connection, memory of an idle connection.

    PYTHONPATH=. python scripts/tls_costs.py

Starts a service without TLS, then with a certificate of each kind of key, and sends it verifications of a known key,
one after the other. The times are those of the service's process alone.
"""

import json
import socket
import ssl
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import trustme

from keywright.dev.issuer import DevIssuer
from tests.api.verifier import VERIFY, create_verifier
from tests.certificates import Authority
from tests.live import LiveService, bearer, client_of, environment, start_service

REQUESTS, CONNECTIONS, IDLE = 16_000, 600, 400


class Service:
    """A running service, and a verification that it answers with 200."""

    def __init__(self, live: LiveService, issuer: DevIssuer, trust: ssl.SSLContext | None) -> None:
        self._process = psutil.Process(live.process.pid)
        self._url, self._trust = urlsplit(live.base_url), trust
        with client_of(live, headers=bearer(issuer)) as client:
            key = client.post("/api/v2/api-keys", json={"name": "known"}).json()["private_key"]
        body = json.dumps({"key": key})
        head = [f"POST {VERIFY} HTTP/1.1", "Host: x", f"Authorization: Bearer {create_verifier(live, 'costs')}"]
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", body]
        self._request = "\r\n".join(head).encode()

    def connect(self) -> socket.socket:
        """Open a connection, with its handshake."""
        connection = socket.create_connection((self._url.hostname, self._url.port), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection if self._trust is None else self._trust.wrap_socket(connection, server_hostname="127.0.0.1")

    def ask(self, connection: socket.socket) -> None:
        """Ask for one verdict."""
        connection.sendall(self._request)
        answer = b""
        while not answer.endswith(b"}}"):
            answer += connection.recv(65536)

    @property
    def microseconds(self) -> float:
        """The processor time so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system) * 1e6

    @property
    def kibibytes(self) -> float:
        """The memory of the process."""
        return float(self._process.memory_info().rss) / 1024


def measure(name: str, service: Service) -> None:
    """Print a line of costs."""
    with service.connect() as connection:
        for _ in range(300):
            service.ask(connection)
        before = service.microseconds
        for _ in range(REQUESTS):
            service.ask(connection)
        request = (service.microseconds - before) / REQUESTS
    before = service.microseconds
    for _ in range(CONNECTIONS):
        service.connect().close()
    connected = (service.microseconds - before) / CONNECTIONS
    memory = service.kibibytes
    idle = [service.connect() for _ in range(IDLE)]
    for connection in idle:
        service.ask(connection)
    each = (service.kibibytes - memory) / IDLE
    for connection in idle:
        connection.close()
    print(f"{name:<6} request {request:6.1f} µs   connection {connected:6.0f} µs   idle connection {each:5.1f} KiB")


def main() -> None:
    """Measure all kinds."""
    with DevIssuer() as issuer:
        for kind in (None, *trustme.KeyType):
            with tempfile.TemporaryDirectory() as folder:
                authority = Authority(Path(folder))
                settings = authority.settings if kind else {}
                authority.issue(kind=kind or trustme.KeyType.ECDSA)
                with start_service(environment(issuer, **settings), authority=authority.path if kind else None) as live:
                    live.await_ready()
                    trust = authority.trust() if kind else None
                    measure(kind.name if kind else "plain", Service(live, issuer, trust))


if __name__ == "__main__":
    sys.exit(main())
