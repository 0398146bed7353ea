"""`keywright serve`: the service, as it runs in production."""

import logging
import os
import socket
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from keywright import __version__
from keywright.cli import exits
from keywright.cli.server import listening, metrics, tls
from keywright.cli.server.start import Start, StartClock, collector_off

if TYPE_CHECKING:
    from keywright.config import Settings
    from keywright.telemetry import Log

_FAILED = "The service could not start; the log has the cause."


def run(**overrides: Any) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Args:
        overrides: The options of the command line, by field name; None for one that was not given.
    """
    began = time.monotonic()
    with ExitStack() as resources, ExitStack() as starting:
        starting.enter_context(collector_off())
        settings = exits.load_settings(**overrides)
        # Each worker process reads the settings from its environment.
        from keywright.config import PREFIX

        os.environ |= {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in overrides}
        resources.enter_context(exits.unwinding_on_sigterm())
        listening.allow_many_connections()
        resources.enter_context(metrics.shared_folder(settings.workers))
        came_up = _serve(settings, resources, starting, StartClock(began, settings.start_seconds))
    if not came_up:
        exits.stop(_FAILED, exits.FAILED)


def _serve(settings: "Settings", resources: ExitStack, starting: ExitStack, clock: StartClock) -> bool:
    log = _begin_to_log(settings)
    from keywright import telemetry

    # Not the lifecycle logger, whose level is always info: these lines follow the level of the settings.
    start = Start(clock, telemetry.Log("keywright.start"), on_overdue=_end_at_once)
    start.waits_for("listener")
    starting.enter_context(start.watched())
    if not settings.issuer.endswith("/"):
        log.warning("the issuer does not end in a slash, as Auth0's does; the iss of tokens must equal it exactly")
    certificate = tls.certificate(settings.tls_files)
    listener, metrics_url = _listen(settings, resources)
    url = listening.bound_url(listener, settings.host, tls=certificate is not None)
    addresses = {"url": url, "metrics": metrics_url}

    def ready() -> None:
        starting.close()
        if not start.took_too_long:
            log.info("ready", **addresses, workers=settings.workers, version=__version__)

    from keywright.cli import database

    start.waits_for("database")
    database.prepare(
        settings.database_url.get_secret_value(),
        on_step=start.migrates,
        trusts_ids=settings.trusts_org_ids,
    )
    start.waits_for("application")
    from keywright.cli.server import process

    if settings.workers > 1:
        came_up = process.run_workers(settings, listener, start=start, on_ready=ready, certificate=certificate)
    else:
        came_up = process.run(settings, listener, on_ready=ready, certificate=certificate)
    log.info("stopped")
    return came_up


def _end_at_once() -> None:
    # The main thread may be blocked for ever, so an exception would not end the process. Nothing is lost: no request
    # was accepted, and an open transaction is rolled back.
    metrics.remove_folder()
    print(_FAILED, file=sys.stderr, flush=True)
    os._exit(exits.FAILED)


def _begin_to_log(settings: "Settings") -> "Log":
    # Not at the top: prometheus_client must be imported after `metrics.shared_folder`.
    from keywright import telemetry

    telemetry.configure_logging(settings.log_level, as_json=True)
    # Always log start and stop.
    logging.getLogger("keywright.lifecycle").setLevel(logging.INFO)
    return telemetry.Log("keywright.lifecycle")


def _listen(settings: "Settings", resources: ExitStack) -> tuple[socket.socket, str | None]:
    with _choosing_another("KEYWRIGHT_PORT, or KEYWRIGHT_HOST"):
        listener = resources.enter_context(listening.listen(settings.host, settings.port))
    with _choosing_another("KEYWRIGHT_METRICS: host:port, path or off"):
        return listener, resources.enter_context(metrics.served(settings.metrics))


def _choosing_another(setting: str) -> AbstractContextManager[None]:
    return exits.ending_on(listening.CannotListen, code=exits.MISUSED, advice=f" Choose another {setting}.")
