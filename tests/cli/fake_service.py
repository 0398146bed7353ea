"""A service with the answers of a test, over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer: what follows the status line."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeService:
    """Answers by method and path, query included; `seen` has the requests, with bearer token and body."""

    answers: Mapping[tuple[str, str], Answer]
    url: str = ""
    seen: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    # How many answers to lose on their way.
    lost: int = 0


@contextmanager
def fake_service(answers: Mapping[tuple[str, str], Answer]) -> Iterator[FakeService]:
    """Run a service that gives *answers* and 404 to everything else."""
    fake = FakeService(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            fake.seen.append((self.command, self.path, self.headers.get("Authorization"), sent))
            fake.headers.append(dict(self.headers.items()))
            if fake.lost:
                fake.lost -= 1
                self.close_connection = True
                return
            answer = fake.answers.get((self.command, self.path), Answer(404, "nothing here"))
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield fake
        server.shutdown()
