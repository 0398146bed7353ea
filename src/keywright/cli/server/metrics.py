"""
The server of the metrics on an address of their own, and the shared counters of several processes.

The server of prometheus_client would answer every path with the metrics, has no time limit for a silent connection, and
looks up the name of its address before it listens.

Nothing here imports `telemetry` before `shared_folder` has set the folder: on its import prometheus_client decides
whether the process counts in memory or in files.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

from keywright.cli.server import listening

# Equal to telemetry.MULTIPROCESS_VARIABLE, whose import would import prometheus_client; a test compares the two.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_folder(workers: int) -> Iterator[None]:
    """Create a folder for the counters of several workers, and remove it afterwards; one counts in memory."""
    if workers == 1:
        # A variable of the environment would keep the counts beyond the life of the process.
        os.environ.pop(MULTIPROCESS_VARIABLE, None)
        yield
        return
    with tempfile.TemporaryDirectory(prefix="keywright-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[MULTIPROCESS_VARIABLE] = folder
        yield


def remove_folder() -> None:
    """Remove the folder of `shared_folder`, where there is one; for a process that ends without unwinding."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def forget(pid: int | None) -> None:
    """Remove the state of a worker that has ended; what it counted stays."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    if folder is not None:
        for path in Path(folder).glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)


@contextmanager
def served(setting: str) -> Iterator[str | None]:
    """
    Serve the metrics from a thread.

    Args:
        setting: `host:port`; with `path` and `off` nothing is served here.

    Yields:
        Their URL, or None.

    Raises:
        CannotListen: The port is in use.
    """
    if setting in ("path", "off"):
        yield None
        return
    host, port = listening.split(setting)
    server = _Server(host, port)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True, name="metrics").start()
    try:
        yield f"{listening.bound_url(server.socket, host)}/metrics"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening.listen(host, port)


class _Handler(BaseHTTPRequestHandler):
    # The most seconds that a silent connection blocks its thread.
    timeout = 10
    # The inherited page of an error is HTML.
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def version_string(self) -> str:
        """Give the `Server` header; the inherited one has the version of Python."""
        return "keywright"

    def end_headers(self) -> None:
        """Add the header that every answer has."""
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def do_GET(self) -> None:
        from keywright import telemetry

        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = telemetry.exposition()
        self.send_response(200)
        self.send_header("Content-Type", telemetry.METRICS_CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden method's own name
        """Log nothing; scrapes come every few seconds."""
