"""
Server-Sent Events, as far as a feed uses them (HTML Living Standard, 9.2): bytes in, events out. Pure.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\n|\r")
# The events of the feed are far shorter.
MOST_BYTES = 8 * 1024 * 1024


class StreamEvent(NamedTuple):
    """One event: its name, its data, and the last id in the stream so far."""

    name: str
    data: str
    id: str | None


class StreamBroken(Exception):
    """The stream is not an event stream of the feed; the text has the reason."""


class EventStream:
    """
    Reads one stream, in pieces of any size.

    Args:
        most_bytes: The longest line or event.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """
        Read the next piece; give the events that it completes.

        Raises:
            StreamBroken: It is no UTF-8, or a line or event is too long.
        """
        *lines, self._rest = self._lines(self._rest + piece)
        if len(self._rest) > self._most_bytes:
            raise StreamBroken("a line has no end")
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _lines(self, received: bytes) -> list[bytes]:
        if not self._begun and received:
            self._begun = True
            received = received.removeprefix(b"\xef\xbb\xbf")
        # A CR at the end may be the first half of a CRLF.
        carriage_return = b"\r" if received.endswith(b"\r") else b""
        lines = _LINE_END.split(received.removesuffix(b"\r"))
        lines[-1] += carriage_return
        return lines

    def _line(self, line: bytes) -> StreamEvent | None:
        if not line:
            return self._dispatch()
        try:
            field, _, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise StreamBroken("it is not UTF-8") from None
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._size += len(value)
            if self._size > self._most_bytes:
                raise StreamBroken("an event has no end")
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> StreamEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return StreamEvent(name, "\n".join(data), self._id) if data else None
