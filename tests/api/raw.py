"""Bytes on a socket, for requests that no HTTP library would send."""

import contextlib
import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    """What came back: the status (0 for a connection closed without an answer), headers in lower case, the body."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(base_url: str, chunks: Iterable[bytes]) -> Answer:
    """Send *chunks* for as long as the other side listens, then read until it closes or the answer is whole."""
    url = urlsplit(base_url)
    with socket.create_connection((url.hostname, url.port), PATIENCE_SECONDS) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks:
                connection.sendall(chunk)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer that has a Content-Length."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while not _is_whole(received) and (chunk := connection.recv(65536)):
            received += chunk
    if not received:
        return Answer(0, {}, b"")
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status_line.split(" ")[1]), headers, body)


def _is_whole(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator) and bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])
