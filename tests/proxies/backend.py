"""The API behind a proxy: answers everything with 200, and keeps what it was sent."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self


class Arrived(NamedTuple):
    """A request that came past the proxy: headers as they were sent, in order."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Give the values of a header, under that name or under one that a backend may take for it."""
        wanted = _taken_for(name)
        return [value for sent, value in self.headers if _taken_for(sent) == wanted]

    def names(self) -> set[str]:
        """Give the names of the headers, as a careless backend understands them."""
        return {_taken_for(name) for name, _ in self.headers}


def _taken_for(name: str) -> str:
    # As CGI, WSGI and PHP do: whatever is neither letter nor digit is one and the same.
    return "".join(c if c.isalnum() else "_" for c in name.upper())


class Backend:
    """Runs in a thread of its own, on a free port."""

    def __init__(self) -> None:
        self._arrived: list[Arrived] = []
        arrived = self._arrived

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _keep(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                arrived.append(Arrived(self.command, self.path, list(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"served")

            do_GET = do_POST = do_PUT = do_DELETE = _keep  # noqa: N815 - as http.server wants it

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Say nothing of a connection that its proxy gave up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def arrived(self, path: str) -> list[Arrived]:
        """Give what arrived at *path*, the query left out of account."""
        return [one for one in self._arrived if one.path.partition("?")[0] == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
