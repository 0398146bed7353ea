"""
Logs and metrics: their formats, and all metrics of the service. Imports no other package of ours.

Neither may contain a secret. The packages log no secret values; as a second defence, text that looks like a private key
or a token is masked in the finished line.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
# The folder in which several workers keep their counters; prometheus_client reads the variable when it is imported.
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
# A match begins at the start of a run of base64url and never backtracks, so the time is linear in the line's length.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?P<shown>(?>[A-Za-z0-9_-]*?eyJ))[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
)


# The attribute of a record with the fields of `Log`; and the fields that are bound to the current task.
_FIELDS = "keywright_fields"
_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound log fields", default=MappingProxyType({}))


def exposition() -> bytes:
    """Write the metrics of all workers in Prometheus's text format."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    gathered = CollectorRegistry()
    MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
    return generate_latest(gathered)


class Log:
    """
    Writes log lines under one name: each has a message, called event, and fields.

    The logger of that name in `logging` decides which levels are written.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """Log a detail for debugging."""
        self.log(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log a normal event."""
        self.log(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that an operator should look at."""
        self.log(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure."""
        self.log(logging.ERROR, event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log a failure with the exception that is being handled."""
        self.log(logging.ERROR, event, exc_info=sys.exception(), **fields)

    def log(self, level: int, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """Log an event with a *level* of `logging`, and the traceback of *exc_info*."""
        if not self._logger.isEnabledFor(level):
            return
        trace = None if exc_info is None else (type(exc_info), exc_info, exc_info.__traceback__)
        # `Logger.log` would search the stack for the caller, which takes longer than the rest of a line, and every
        # request has a line.
        record = logging.LogRecord(self._logger.name, level, "", 0, event, None, trace)
        record.__dict__[_FIELDS] = fields
        self._logger.handle(record)


def bind(**fields: Any) -> Token[Mapping[str, Any]]:
    """Add fields to all lines of this task and of tasks that it starts, until `unbind`."""
    return _bound.set({**_bound.get(), **fields})


def unbind(token: Token[Mapping[str, Any]]) -> None:
    """Remove the fields of a `bind`."""
    _bound.reset(token)


class SampledLog:
    """
    Writes warnings that callers can cause at any rate: at most one in a while, with the number of those left out.

    Args:
        log: Writes the lines.
        seconds: The least time between two of them.
        monotonic: Seconds that never go backwards.
    """

    def __init__(self, log: Log, *, seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._seconds = seconds
        self._monotonic = monotonic
        self._next_at = 0.0  # before any reading of a monotonic clock
        self._left_out = 0

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that an operator should look at, or count it as left out."""
        now = self._monotonic()
        if now < self._next_at:
            self._left_out += 1
            return
        self._log.warning(event, left_out=self._left_out, **fields)
        self._next_at, self._left_out = now + self._seconds, 0


def configure_logging(level: str, *, as_json: bool, stream: TextIO | None = None) -> None:
    """
    Write all log lines, those of libraries included, to *stream*.

    Args:
        level: The lowest level that is written: debug, info, warning or error.
        as_json: One JSON object a line; otherwise lines for people.
        stream: Standard error by default.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_Formatter(_json_line if as_json else _line_for_people))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # These log a line for every request or statement.
    for noisy in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the overridden method's own name
        """Drop a line that cannot be written, such as to a closed pipe: it must not fail a request."""


class _Formatter(logging.Formatter):
    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            **_bound.get(),
            **record.__dict__.get(_FIELDS, {}),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return mask_secrets(self._render(fields))


def mask_secrets(line: str) -> str:
    """Mask text that looks like a private key or a token; its first characters stay."""
    return _TOKENS.sub(_masked, _KEYS.sub(_masked, line))


def _masked(match: re.Match[str]) -> str:
    return f"{match['shown']}..."


def _json_line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, default=repr)


def _line_for_people(fields: dict[str, Any]) -> str:
    level, message = fields.pop("level"), fields.pop("event")
    time, trace = str(fields.pop("timestamp"))[11:19], fields.pop("exception", None)
    fields.pop("logger", None)
    details = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{time} {level:<7} {message} {details}".rstrip() + (f"\n{trace}" if trace else "")
