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
import threading
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
# The folder in which several workers keep their counters; prometheus_client reads the variable when it is imported.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_OK = 200
# The first three are for checks, most of which take less than a tenth of a millisecond.
REQUEST_SECONDS_BOUNDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)

requests = Counter(
    "keywright_http_requests_total",
    "Requests answered, by method, route and status.",
    ["method", "route", "status"],
)
request_seconds = Histogram(
    "keywright_http_request_seconds",
    "Time from a request's headers to the end of its answer, in seconds.",
    ["route"],
    buckets=REQUEST_SECONDS_BOUNDS,
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

queue_wait_seconds = Histogram(
    "keywright_queue_wait_seconds",
    "Seconds that requests waited in a queue because others of the same organization or caller were under way.",
    ["queue"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


connections_refused = Counter("keywright_connections_refused_total", "Connections refused because there were too many.")
slow_clients = Counter(
    "keywright_slow_clients_total", "Connections ended because their clients read their answers too slowly."
)

commit_seconds = Histogram(
    "keywright_commit_seconds",
    "Time from the begin of a commit to its end, in seconds.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
feed_lag_seconds = Gauge(
    "keywright_feed_lag_seconds",
    "Age of the last complete reading of the changes, in seconds; of the process where it is the highest.",
    multiprocess_mode="livemax",
)
outage = Gauge(
    "keywright_outage",
    "1 while a process cannot read the changes, so that it trusts cached keys only for the outage time; otherwise 0.",
    multiprocess_mode="livemax",
)
key_set_age_seconds = Gauge(
    "keywright_key_set_age_seconds",
    "Age of the issuer's signing keys, in seconds; of the process where it is the highest.",
    multiprocess_mode="livemax",
)
tls_failures = Counter("keywright_tls_failures_total", "TLS handshakes that failed, or were not over in time.")
# With a label, a process without a certificate exposes nothing; otherwise it would be 0, and the earliest.
certificate_end = Gauge(
    "keywright_certificate_end_timestamp_seconds",
    "When the certificate of a listener ends, in seconds since the epoch; of the process where it ends first.",
    ["listener"],
    multiprocess_mode="livemin",
)
open_connections = Gauge("keywright_connections", "Open connections of all processes.", multiprocess_mode="livesum")

_KEYS = re.compile(r"(?P<shown>[a-z0-9]_(?:sk|vk)_(?:[a-z][a-z0-9]{0,15}_)?)[0-9A-Za-z]{20,}")
# A match begins at the start of a run of base64url and never backtracks, so the time is linear in the line's length.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?P<shown>(?>[A-Za-z0-9_-]*?eyJ))[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
)


# json.dumps with an argument makes an encoder for every call.
_write_json = json.JSONEncoder(default=repr).encode

# The attribute of a record with the fields of `Log`; and the fields that are bound to the current task.
_FIELDS = "keywright_fields"
_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound log fields", default=MappingProxyType({}))


def observe_commit(size: int, seconds: float) -> None:
    """Count a commit of *size* writes that took *seconds*."""
    commit_batch.observe(size)
    commit_seconds.observe(seconds)


class RouteMeter:
    """
    Counts the answers of one route, and their times, at the cost of two additions each.

    `fold` adds them to the metrics `requests` and `request_seconds`, from any thread.

    Args:
        method: The method of the route.
        route: The template of its path.
    """

    def __init__(self, method: str, route: str) -> None:
        self._method = method
        self._route = route
        self.times = [0] * (len(REQUEST_SECONDS_BOUNDS) + 1)
        """The number of answers by the place of the bound of their time; the last is for longer times."""
        self.seconds = 0.0
        """The sum of the times."""
        # Statuses but 200, which all other answers have.
        self._statuses: Counts[int] = Counts()
        self._folded: tuple[list[int], float, Counts[int]] = ([*self.times], 0.0, Counts())
        self._folding = threading.Lock()
        _to_fold.append(self.fold)

    def observe(self, seconds: float, status: int = 200) -> None:
        """Count an answer that took *seconds*; only by the thread of the event loop."""
        self.times[bisect_left(REQUEST_SECONDS_BOUNDS, seconds)] += 1
        self.seconds += seconds
        if status != _OK:
            self._statuses[status] += 1

    def fold(self) -> None:
        """Add what was counted since the last time to the metrics."""
        with self._folding:
            statuses = Counts(self._statuses)
            times, seconds = [*self.times], self.seconds
            before_times, before_seconds, before_statuses = self._folded
            self._folded = times, seconds, statuses
        more = [now - before for now, before in zip(times, before_times, strict=True)]
        others = statuses - before_statuses
        histogram: Any = request_seconds.labels(self._route)
        # `observe` takes one time; tests/test_metrics.py holds that this is the same.
        for bucket, number in zip(histogram._buckets, more, strict=True):  # noqa: SLF001
            bucket.inc(number)
        histogram._sum.inc(seconds - before_seconds)  # noqa: SLF001
        for status, number in {**others, _OK: sum(more) - others.total()}.items():
            if number > 0:
                requests.labels(self._method, self._route, status).inc(number)


_to_fold: list[Callable[[], object]] = []


def fold() -> None:
    """Add what the meters of this process have counted to its metrics; several processes each do it by themselves."""
    for each in _to_fold:
        each()


def exposition() -> bytes:
    """Write the metrics of all workers in Prometheus's text format."""
    fold()
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


class SampledLog:
    """
    Writes lines about what a stranger can cause as often as wanted: one line for each key in some seconds.

    The next line for the key has the number of those that were left out, `unlogged`.

    Args:
        name: As for `Log`.
        seconds: The pause between two lines for one key.
        most: How many keys to know; beyond it the oldest is forgotten.
        monotonic: Reads a clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        seconds: float = 10.0,
        most: int = 1024,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = Log(name)
        self._seconds = seconds
        self._most = most
        self._monotonic = monotonic
        # Key to the time of the next line, and the number of lines left out.
        self._known: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def info(self, key: Hashable, event: str, **fields: Any) -> None:
        """Log an event, or count it as left out."""
        if (unlogged := self._left_out(key)) is not None:
            self._log.info(event, **fields, unlogged=unlogged)

    def warning(self, key: Hashable, event: str, **fields: Any) -> None:
        """Log an event that an operator should look at, or count it as left out."""
        if (unlogged := self._left_out(key)) is not None:
            self._log.warning(event, **fields, unlogged=unlogged)

    def _left_out(self, key: Hashable) -> int | None:
        """Give the number of lines left out before the one for *key*; None where that one is left out, too."""
        now = self._monotonic()
        due, unlogged = self._known.get(key, (now, 0))
        if now < due:
            self._known[key] = (due, unlogged + 1)
            return None
        self._known[key] = (now + self._seconds, 0)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return unlogged


def bind(**fields: Any) -> Token[Mapping[str, Any]]:
    """Add fields to all lines of this task and of tasks that it starts, until `unbind`."""
    outer = _bound.get()
    return _bound.set({**outer, **fields} if outer else fields)


def unbind(token: Token[Mapping[str, Any]]) -> None:
    """Remove the fields of a `bind`."""
    _bound.reset(token)


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
    # Nearly every line has none of these, and a search by the patterns takes longer than writing it.
    if "_sk_" in line or "_vk_" in line:
        line = _KEYS.sub(_masked, line)
    return _TOKENS.sub(_masked, line) if "eyJ" in line else line


def _masked(match: re.Match[str]) -> str:
    return f"{match['shown']}..."


def _json_line(fields: dict[str, Any]) -> str:
    return _write_json(fields)


def _line_for_people(fields: dict[str, Any]) -> str:
    level, message = fields.pop("level"), fields.pop("event")
    time, trace = str(fields.pop("timestamp"))[11:19], fields.pop("exception", None)
    fields.pop("logger", None)
    details = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{time} {level:<7} {message} {details}".rstrip() + (f"\n{trace}" if trace else "")
