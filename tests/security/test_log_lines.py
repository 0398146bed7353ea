"""Log lines as a log processor gets them."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from keywright.telemetry import Log, configure_logging

HOSTILE = 'a\nb\r\n{"event": "forged"}\x0b\x0c\x1c\x85\u2028\u2029\x1b[2J"}'


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before after the test."""
    logger = logging.getLogger()
    before = (logger.handlers, logger.level)
    yield logger
    logger.handlers, level = before
    logger.setLevel(level)


@pytest.fixture
def stream(root: logging.Logger) -> io.StringIO:
    """Where all lines go."""
    stream = io.StringIO()
    configure_logging("info", as_json=True, stream=stream)
    return stream


def test_a_value_begins_no_line(stream: io.StringIO) -> None:
    """Whatever a message, a value, the name of a field or an exception contains, one call writes one line of ASCII."""
    log = Log("test")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception(HOSTILE, value=HOSTILE, **{HOSTILE: [HOSTILE]})
    logging.getLogger("library").warning("library %s", HOSTILE)
    text = stream.getvalue()
    assert text.isascii()
    assert len(text.splitlines()) == 2
    assert [json.loads(line)["event"] for line in text.splitlines()] == [HOSTILE, f"library {HOSTILE}"]


def test_times_are_utc(stream: io.StringIO) -> None:
    """Every line has its time, in UTC and marked as such."""
    Log("test").info("something")
    moment = json.loads(stream.getvalue())["timestamp"]
    assert moment.endswith("Z")
    assert datetime.fromisoformat(moment).utcoffset() == timedelta(0)


def test_one_place(root: logging.Logger) -> None:
    """All lines, those of libraries included, go to standard error and nowhere else."""
    configure_logging("info", as_json=True)
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
