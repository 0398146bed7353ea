"""
Logs and metrics: how they are written, and which metrics exist. Knows no other room.

No secret may reach either. Values are never logged by the rooms; as a second wall, whatever looks like a private key or
a token is masked in the finished line.
"""

import logging
import os
import re
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.typing import EventDict, Processor, WrappedLogger

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
# Where the counters of several worker processes meet; prometheus_client reads it when it is imported.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

requests = Counter(
    "keywright_http_requests_total",
    "Requests answered, by method, route and status.",
    ["method", "route", "status"],
)
request_seconds = Histogram(
    "keywright_http_request_seconds",
    "Time from a request's headers to the end of its answer, in seconds.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
token_refusals = Counter("keywright_token_refusals_total", "Access tokens refused, by code.", ["code"])
unavailable = Counter("keywright_unavailable_total", "Requests answered 503, by code.", ["code"])
verdicts = Counter("keywright_verdicts_total", "Verdicts given on presented keys, by code.", ["code"])
limits_uncounted = Counter(
    "keywright_limits_uncounted_total",
    "Checks of rate limits that Redis did not count: counted by the process alone, or refused, as the settings say.",
)
key_set_fetches = Counter(
    "keywright_key_set_fetches_total", "Attempts to fetch the issuer's signing keys, by outcome.", ["outcome"]
)
commit_batch = Histogram(
    "keywright_commit_batch_size",
    "Writes that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)

_KEYS = re.compile(r"(?P<shown>[a-z0-9]_(?:sk|vk)_(?:[a-z][a-z0-9]{0,15}_)?)[0-9A-Za-z]{20,}")
# Begins where a run of a token's characters begins and never goes back, so that a line of any kind is read once.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?P<shown>(?>[A-Za-z0-9_-]*?eyJ))[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
)


def exposition() -> bytes:
    """Write the metrics in Prometheus's text format; those of all workers where there are several."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    gathered = CollectorRegistry()
    MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
    return generate_latest(gathered)


def configure_logging(level: str, *, as_json: bool, stream: TextIO | None = None) -> None:
    """
    Send everything that is logged, libraries' messages included, to *stream* (standard error).

    Args:
        level: The least important level: debug, info, warning or error.
        as_json: One JSON object a line; otherwise lines for people.
        stream: Where to write.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    noted: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[Processor] = [
        # The plain traceback: structlog's rich one shows local variables, private keys among them.
        structlog.processors.format_exc_info,
        _render_json if as_json else _render_line,
        mask_secrets,
    ]
    # A line of ours is there with every request. It is written as it is: by way of the standard library, which would
    # make two records of it and look for its caller in the stack, it takes more than twice the time.
    structlog.configure(
        processors=[_let_through, *noted, *written],
        logger_factory=lambda name=None: _Writer(name, handler),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=noted,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # These narrate every request or statement.
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Writer:
    """Writes finished lines where *handler* does, of the levels that the logger of the same name lets through."""

    def __init__(self, name: str | None, handler: "logging.StreamHandler[TextIO]") -> None:
        self.name = name
        self.lets_through = logging.getLogger(name).isEnabledFor
        self._handler = handler

    def write(self, line: str) -> None:
        """Write a line; one that cannot be written, to a pipe whose reader has gone, takes no request along."""
        self._handler.acquire()
        try:
            self._handler.stream.write(f"{line}\n")
            self._handler.flush()
        except (OSError, ValueError):
            pass
        finally:
            self._handler.release()

    debug = info = warning = error = critical = exception = write


_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_LEVELS["exception"] = logging.ERROR


def _let_through(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if not logger.lets_through(_LEVELS[method]):
        raise structlog.DropEvent
    return event


def mask_secrets(_logger: WrappedLogger, _method: str, line: Any) -> Any:
    """Replace what looks like a private key or a token in a finished line."""
    return _TOKENS.sub(_masked, _KEYS.sub(_masked, line))


def _masked(match: re.Match[str]) -> str:
    return f"{match['shown']}..."


_render_json = structlog.processors.JSONRenderer(sort_keys=False)


def _render_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    level, message = event.pop("level"), event.pop("event")
    time, trace = str(event.pop("timestamp"))[11:19], event.pop("exception", None)
    event.pop("logger", None)
    details = " ".join(f"{name}={value}" for name, value in event.items())
    return f"{time} {level:<7} {message} {details}".rstrip() + (f"\n{trace}" if trace else "")
