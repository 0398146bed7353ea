"""TLS in front of a service, with a certificate of a throw-away authority, as a proxy would do it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

import trustme

_CHUNK = 65536


@contextmanager
def tls_in_front(port: int, *names: str) -> Iterator[int]:
    """Pass on what comes over TLS to *port* on loopback; give the port that listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*names).configure_cert(context)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            # A browser opens connections ahead and drops them again.
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as outside,
                socket.create_connection(("127.0.0.1", port)) as inside,
            ):
                threading.Thread(target=_pump, args=(inside, outside), daemon=True).start()
                _pump(outside, inside)

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
