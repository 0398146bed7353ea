"""The log of a test: what is logged goes to the test's stream, and the root logger is as before afterwards."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from keywright.telemetry import configure_logging


@contextmanager
def logging_to(stream: TextIO | None, level: str = "info", *, as_json: bool = True) -> Iterator[None]:
    """Have all lines go to *stream*, or to standard error, for as long as the block lasts."""
    root = logging.getLogger()
    handlers, former = root.handlers, root.level
    try:
        configure_logging(level, as_json=as_json, stream=stream)
        yield
    finally:
        root.handlers = handlers
        root.setLevel(former)
