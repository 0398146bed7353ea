"""`keywright agent`: checks keys beside an API server, without a database."""

import logging
import socket
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from keywright import __version__
from keywright.cli import exits
from keywright.cli.commands import Command
from keywright.cli.server import listening, metrics, tls
from keywright.cli.server.start import collector_off

if TYPE_CHECKING:
    from keywright.agent.settings import AgentSettings
    from keywright.telemetry import Log

_FAILED = "The agent could not start; the log has the cause."


@click.command(cls=Command, examples=("keywright agent", "keywright agent --listen unix:/run/keywright/agent.sock"))
@click.option("--listen", metavar="ADDRESS", help="Where to listen; overrides KEYWRIGHT_AGENT_LISTEN.")
def agent(listen: str | None) -> None:
    """
    Check keys beside an API server, without a database.

    Answers `/api/v2/api-keys/verify`, its batches, `/forward-auth` and `/ext-authz` as the service does. Needs the
    address of the service in KEYWRIGHT_URL and the credential of a verifier in KEYWRIGHT_VERIFIER.
    """
    with ExitStack() as resources, ExitStack() as starting:
        starting.enter_context(collector_off())
        from keywright import config
        from keywright.agent import settings as agent_settings

        with exits.ending_on(config.SettingsError, code=exits.MISUSED):
            settings = agent_settings.load(**({} if listen is None else {"agent_listen": listen}))
        resources.enter_context(exits.unwinding_on_sigterm())
        listening.allow_many_connections()
        resources.enter_context(metrics.shared_folder(1))
        came_up = _serve(settings, resources, starting)
    if not came_up:
        exits.stop(_FAILED, exits.FAILED)


def _serve(settings: "AgentSettings", resources: ExitStack, starting: ExitStack) -> bool:
    began = time.monotonic()
    log = _begin_to_log(settings)
    # httpx imports its own command line where it can, and with it rich and pygments: 3 MiB for nothing here.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from keywright.agent.application import create_app
    from keywright.cli.server import process
    from keywright.client.errors import KeywrightError

    certificate = tls.certificate(settings.tls_files)
    with exits.ending_on(KeywrightError, code=exits.MISUSED):
        app = create_app(settings)
    with exits.ending_on(listening.CannotListen, code=exits.MISUSED):
        listener, url = _listen(settings, resources)
        metrics_url = resources.enter_context(metrics.served(settings.metrics))

    def ready() -> None:
        starting.close()
        took = round(time.monotonic() - began, 3)
        access = "open" if settings.credential is None else "credential"
        fields = {"url": url, "access": access, "metrics": metrics_url, "service": settings.url}
        log.info("ready", **fields, seconds=took, version=__version__)

    came_up = process.run_app(app, settings, listener, on_ready=ready, certificate=certificate)
    log.info("stopped")
    return came_up


def _begin_to_log(settings: "AgentSettings") -> "Log":
    # Not at the top: prometheus_client must be imported after `metrics.shared_folder`.
    from keywright import telemetry

    telemetry.configure_logging(settings.log_level, as_json=True)
    # Always log start and stop.
    logging.getLogger("keywright.lifecycle").setLevel(logging.INFO)
    return telemetry.Log("keywright.lifecycle")


def _listen(settings: "AgentSettings", resources: ExitStack) -> tuple[socket.socket, str]:
    """Open the socket of the agent, and give it with its address, for the log."""
    if settings.socket_path is not None:
        return resources.enter_context(listening.unix_socket(settings.socket_path)), settings.agent_listen
    host, port = listening.split(settings.agent_listen)
    listener = resources.enter_context(listening.listen(host, port))
    return listener, listening.bound_url(listener, host, tls=settings.tls_files is not None)
