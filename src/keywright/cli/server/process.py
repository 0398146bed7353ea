"""uvicorn as the service runs it: its settings, one process or several, and what is told about them."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from keywright.cli.server.listening import BACKLOG
from keywright.cli.server.start import Start, collector_off
from keywright.cli.server.workers import Supervisor
from keywright.config import Settings


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


def run_workers(settings: Settings, listener: socket.socket, *, start: Start, on_ready: Callable[[], object]) -> bool:
    """Answer requests in several processes, as `run` does in one; see `Supervisor`, also about *start*."""
    config = _config(f"{__name__}:worker_app", settings, factory=True, workers=settings.workers)
    supervisor = Supervisor(config, listener, start=start, start_seconds=settings.start_seconds, on_ready=on_ready)
    supervisor.run()
    return not supervisor.has_failed


def worker_app() -> Callable[..., Any]:
    """Build the application of a worker."""
    from keywright import app as application

    return application.from_environment()


class _Config(uvicorn.Config):
    def load(self) -> None:
        """Find the application and what it needs; a worker imports nearly everything here."""
        with collector_off():
            super().load()


def _config(app: Callable[..., Any] | str, settings: Settings, **processes: Any) -> uvicorn.Config:
    return _Config(
        app,
        # By its name, and the application likewise: what supervises workers does not hold what they need.
        http="keywright.api.server.protocol:FastPathProtocol",
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
