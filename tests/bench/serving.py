"""A server that records the requests that it is sent, as bytes, and answers each of them with success."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from tests.live import PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: its head without the empty line at its end, and its body."""

    head: str
    body: str

    def header(self, name: str) -> str:
        """Give the value of a header that the request has once."""
        (value,) = re.findall(rf"(?im)^{name}: (.+?)\r?$", self.head)
        return str(value)

    @property
    def question(self) -> dict[str, Any]:
        """The body as JSON."""
        return dict(json.loads(self.body))


@dataclass
class Recorder:
    """The requests so far, in the order in which they came, and how they are answered."""

    answer: Callable[[Sent], tuple[int, object]]
    url: str = ""
    requests: list[Sent] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, request: Sent) -> None:
        """Record a request."""
        with self._came:
            self.requests.append(request)
            self._came.notify_all()

    def wait_for(self, method: str) -> None:
        """Wait until a request of that method has come."""
        with self._came:
            assert self._came.wait_for(lambda: self.of(method), PATIENCE_SECONDS)

    def of(self, method: str) -> list[Sent]:
        """Give the requests of a method."""
        return [each for each in self.requests if each.head.startswith(f"{method} ")]


@contextmanager
def recording(answer: Callable[[Sent], tuple[int, object]] = lambda _: (200, {})) -> Iterator[Recorder]:
    """Serve on loopback until the block ends; *answer* gives a status and a body for JSON."""
    recorder = Recorder(answer)

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while head := self._head():
                length = re.search(r"(?im)^content-length: (\d+)", head)
                sent = Sent(head, self.rfile.read(int(length[1]) if length else 0).decode())
                recorder.take(sent)
                status, said = recorder.answer(sent)
                body = json.dumps(said, separators=(",", ":")).encode()
                self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

        def _head(self) -> str:
            lines = []
            try:
                while line := self.rfile.readline().decode().rstrip("\r\n"):
                    lines.append(line)
            except ConnectionError:
                return ""
            return "\r\n".join(lines)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        recorder.url = "http://127.0.0.1:{1}".format(*server.server_address[:2])
        try:
            yield recorder
        finally:
            server.shutdown()
