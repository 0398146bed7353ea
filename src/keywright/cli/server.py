"""uvicorn as the service runs it: its settings, one process or several, and what is told about them."""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from keywright.cli.listening import BACKLOG
from keywright.cli.starting import sparing
from keywright.config import Settings

# A worker answers its supervisor from a thread of its own, but not before Python has imported everything.
_WORKER_SILENCE_SECONDS = 30


def run(settings: Settings, listener: socket.socket, *, on_ready: Callable[[], object]) -> bool:
    """
    Answer requests in this process until SIGTERM or SIGINT; those in flight finish.

    Args:
        listener: A socket that listens already.
        on_ready: Called once requests are answered.

    Returns:
        Whether it came up.
    """
    from keywright import app as application

    server = _Server(_config(application.create_app(settings), settings), on_ready)
    try:
        server.run(sockets=[listener])
    except SystemExit as end:
        # uvicorn has logged why the application did not come up.
        if end.code != STARTUP_FAILURE:
            raise
    return server.started


def run_workers(settings: Settings, listener: socket.socket, *, on_ready: Callable[[], object]) -> bool:
    """Answer requests in several processes, as `run` does in one; one that dies is replaced."""
    config = _config(f"{__name__}:worker_app", settings, factory=True, workers=settings.workers)
    supervisor = _Supervisor(config, listener, on_ready)
    supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def worker_app() -> Callable[..., Any]:
    """Build the application of a worker, and end the worker when the supervising process is gone."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        threading.Thread(target=_end_after, args=(supervisor,), daemon=True, name="supervisor watch").start()
    from keywright import app as application

    return application.from_environment()


def _end_after(supervisor: BaseProcess) -> None:
    supervisor.join()
    # Left alone, it would hold the port against the next start.
    os.kill(os.getpid(), signal.SIGTERM)


class _Config(uvicorn.Config):
    def load(self) -> None:
        """Find the application and what it needs; a worker imports nearly everything here."""
        with sparing():
            super().load()


def _config(app: Callable[..., Any] | str, settings: Settings, **processes: Any) -> uvicorn.Config:
    return _Config(
        app,
        # By its name, and the application likewise: what supervises workers does not hold what they need.
        http="keywright.api.http_protocol:BoundedHttpProtocol",
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        # What it says of a start and a stop is said once, by ourselves.
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        server_header=False,
        date_header=True,
        # Whom to believe about a client's address is KEYWRIGHT_TRUSTED_PROXIES' business.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_worker_healthcheck=_WORKER_SILENCE_SECONDS,
        **processes,
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT for a wish to end, not, as uvicorn does after all is done, for a reason to die of."""
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class _Supervisor(Multiprocess):
    def __init__(self, config: uvicorn.Config, listener: socket.socket, on_ready: Callable[[], object]) -> None:
        super().__init__(config, [listener])
        self._on_ready: Callable[[], object] | None = on_ready

    def terminate_all(self) -> None:
        """End the workers; what would connect now is refused rather than left to wait for a worker that is gone."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, and say so; say once that all of them answer."""
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        after = [process.pid for process in self.processes]
        # Not at the top: workers import this module before `sparing` begins.
        import structlog

        log = structlog.stdlib.get_logger("keywright.server")
        for gone in set(before) - set(after):
            log.warning("a worker died and was replaced", worker=gone)
        if self._on_ready is not None and all(process.is_ready() for process in self.processes):
            self._on_ready()
            self._on_ready = None
