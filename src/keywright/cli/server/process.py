"""uvicorn, in one process or several: its settings, and the signals that stop it."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from keywright.cli.server import service_manager
from keywright.cli.server.listening import BACKLOG
from keywright.cli.server.start import Start, collector_off
from keywright.cli.server.workers import Supervisor
from keywright.config import Settings

if TYPE_CHECKING:
    from keywright.api.server.certificate import LoadedCertificate, ServerCertificate


class ServerSettings(Protocol):
    """The settings of a server that do not depend on what it answers."""

    @property
    def log_level(self) -> str:
        """The lowest level that is logged."""

    @property
    def shutdown_seconds(self) -> int:
        """How long requests in progress may take to finish."""


def run(
    settings: Settings,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object],
    certificate: "LoadedCertificate | None" = None,
) -> bool:
    """Answer requests of the service in this process; see `run_app`."""
    from keywright import app as application

    app = application.create_app(settings)
    return run_app(app, settings, listener, on_ready=on_ready, certificate=certificate)


def run_app(
    app: Callable[..., Any],
    settings: ServerSettings,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object],
    certificate: "LoadedCertificate | None" = None,
) -> bool:
    """
    Answer requests in this process until SIGTERM or SIGINT; requests in progress finish.

    Args:
        app: Answers the requests.
        settings: Of the server.
        listener: A listening socket.
        on_ready: Called when the process answers requests.
        certificate: Of the server, renewed from its files from now on; None for plain HTTP.

    Returns:
        Whether the start succeeded.
    """
    config = _config(app, settings)
    if certificate is not None:
        from keywright.api.server.certificate import ServerCertificate

        config.open_certificate = partial(ServerCertificate, certificate)
    server = _Server(config, on_ready)
    try:
        server.run(sockets=[listener])
    except SystemExit as end:
        # uvicorn has logged the cause.
        if end.code != STARTUP_FAILURE:
            raise
    return server.started


def run_workers(
    settings: Settings,
    listener: socket.socket,
    *,
    start: Start,
    on_ready: Callable[[], object],
    certificate: "LoadedCertificate | None" = None,
) -> bool:
    """Answer requests in several processes, as `run` does in one; see `Supervisor`, also about *start*."""
    config = _config(
        f"{__name__}:worker_app",
        settings,
        http="keywright.api.server.shared:WorkerProtocol",
        factory=True,
        workers=settings.workers,
    )
    if certificate is not None:
        from keywright.api.server.certificate import await_usable

        # Each worker reads the files by itself: a context cannot be sent to another process.
        config.open_certificate = partial(await_usable, certificate.files)
    supervisor = Supervisor(config, listener, start=start, start_seconds=settings.start_seconds, on_ready=on_ready)
    supervisor.run()
    return not supervisor.has_failed


def worker_app() -> Callable[..., Any]:
    """Build the application of a worker."""
    from keywright import app as application

    return application.from_environment()


class _Config(uvicorn.Config):
    open_certificate: "Callable[[], ServerCertificate] | None" = None
    """Reads the certificate of the server; None for plain HTTP."""
    certificate: "ServerCertificate | None" = None
    """The certificate, once it was read."""

    def load(self) -> None:
        """Import the application; a worker does nearly all its imports here."""
        with collector_off():
            super().load()
            if self.open_certificate is not None:
                self.certificate = self.open_certificate()
                self._secure(self.certificate)

    def _secure(self, certificate: "ServerCertificate") -> None:
        from keywright.api.server import tls

        certificate.watch()
        # uvicorn calls it to make the protocol of a connection, and does nothing else with it.
        self.http_protocol_class = tls.secured(self.http_protocol_class, certificate)  # type: ignore[assignment,arg-type]


def _config(
    app: Callable[..., Any] | str,
    settings: ServerSettings,
    *,
    http: str = "keywright.api.server.first_sight:FirstSightProtocol",
    **processes: Any,
) -> _Config:
    return _Config(
        app,
        # By name, like the application: the supervisor of workers then imports neither, and uses less memory.
        http=http,
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        # The service logs the start and the stop itself.
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        server_header=False,
        date_header=True,
        # KEYWRIGHT_TRUSTED_PROXIES decides which proxies are trusted.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        **processes,
    )


class _Server(uvicorn.Server):
    def __init__(self, config: _Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._settings = config
        self._on_ready = on_ready
        self._watchdog = service_manager.Watchdog()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()
            service_manager.ready()

    async def on_tick(self, counter: int) -> bool:
        """Do what is due ten times a second; the event loop calls it, so a loop that stands still gives no sign."""
        self._watchdog.alive()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service_manager.stopping()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Stop on SIGTERM and SIGINT, with exit code 0; uvicorn would raise the signal again after the stop.

        With a certificate, SIGHUP reads it, as tools that renew certificates expect; otherwise it ends the process.
        """
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        if self._settings.open_certificate is not None:
            former[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._read_certificate)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _read_certificate(self, _number: int, _frame: FrameType | None) -> None:
        if self._settings.certificate is not None:
            self._settings.certificate.hurry()
