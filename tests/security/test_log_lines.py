"""Log lines as a log processor gets them."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from keywright.telemetry import Log
from tests.logs import logging_to

HOSTILE = 'a\nb\r\n{"event": "forged"}\x0b\x0c\x1c\x85\u2028\u2029\x1b[2J"}'


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where all lines go."""
    stream = io.StringIO()
    with logging_to(stream):
        yield stream


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


def test_one_place() -> None:
    """All lines, those of libraries included, go to standard error and nowhere else."""
    with logging_to(None):
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.StreamHandler)
        assert handler.stream is sys.stderr
