"""Bytes on a socket, for requests that no HTTP library would send."""

import contextlib
import select
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import psutil

from tests.api.caller import KEYS
from tests.live import LiveService

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    """What came back: the status (0 for a connection closed without an answer), headers in lower case, the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection, on which answers are read one by one."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._socket = socket.create_connection((url.hostname, url.port), PATIENCE_SECONDS)
        self._received = b""

    @property
    def ended(self) -> bool:
        """Whether the other side has hung up, and left nothing to read."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def send(self, *pieces: bytes) -> bool:
        """Send *pieces* for as long as the other side listens, and tell whether it did to the end."""
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def read(self) -> Answer:
        """Read one answer, "100 Continue" included; its status is 0 when the other side closed before it was whole."""
        while True:
            found = _first_answer(self._received)
            if found is not None:
                answer, self._received = found
                return answer
            if not self._receive():
                return Answer(0, {}, b"")

    def read_to_the_end(self) -> list[Answer]:
        """Read answers until the other side closes."""
        return list(iter(self.read, Answer(0, {}, b"")))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> bool:
        chunk = b""
        with contextlib.suppress(ConnectionResetError):
            chunk = self._socket.recv(65536)
        self._received += chunk
        return bool(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answers_in(received: bytes) -> list[Answer]:
    """Read the answers that *received* holds whole."""
    answers = []
    while (found := _first_answer(received)) is not None:
        answers.append(found[0])
        received = found[1]
    return answers


def exchange(base_url: str, pieces: Iterable[bytes]) -> Answer:
    """Send *pieces* for as long as the other side listens, then read one answer."""
    with Connection(base_url) as connection:
        connection.send(*pieces)
        return connection.read()


def converse(base_url: str, *pieces: bytes) -> list[Answer]:
    """Send *pieces*, then read answers until the other side closes."""
    with Connection(base_url) as connection:
        connection.send(*pieces)
        return connection.read_to_the_end()


def head(*lines: str, method: str = "POST", path: str = KEYS, token: str | None = None) -> bytes:
    """Write the head of a request; *token* is the value of its Authorization header."""
    fixed = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token is not None:
        fixed.append(f"Authorization: {token}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def endless(piece: bytes, total: int) -> Iterator[bytes]:
    """Give *piece* again and again, up to *total* bytes."""
    for _ in range(total // len(piece)):
        yield piece


def resident(service: LiveService) -> int:
    """Tell how many bytes of memory the process of a service with one worker holds."""
    memory: int = psutil.Process(service.process.pid).memory_info().rss
    return memory


def _first_answer(received: bytes) -> tuple[Answer, bytes] | None:
    """Take the first answer off, if it is whole; one that may have a body has a Content-Length."""
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    if len(rest) < length:
        return None
    return Answer(int(status_line.split(" ")[1]), headers, rest[:length]), rest[length:]
