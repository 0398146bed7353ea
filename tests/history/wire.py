"""HTTP as far as a client needs it that asks thousands of times a second: one connection, one request at a time."""

import asyncio
import json
import time
from typing import Any, NamedTuple

_LONGEST_IDLE_SECONDS = 2.0
"""Shorter than the time after which a server closes a connection, which may be the moment in which it is used again."""


class Response(NamedTuple):
    """A status, headers by their names in small letters, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)


class Broken(Exception):
    """There is no connection, it ended before the answer did, or the answer did not come in time."""


class Connection:
    """
    A connection to one address, opened when it is needed and again when it broke.

    Args:
        host: Where to.
        port: Where to.
        headers: Sent with every request.
    """

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self._address = (host, port)
        lines = {"Host": f"{host}:{port}", **headers}.items()
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_at = 0.0

    async def request(
        self, method: str, path: str, body: Any = None, *, patience: float = 10.0, again: str | None = None
    ) -> Response:
        """
        Ask.

        Args:
            again: The idempotency key of the request, if it has one.

        Raises:
            Broken: There is no answer.
        """
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        kind += "" if again is None else f"Idempotency-Key: {again}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}{kind}Content-Length: {len(content)}\r\n\r\n"
        try:
            async with asyncio.timeout(patience):
                return await self._ask(head.encode() + content)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(repr(error)) from None
        except BaseException:
            self.close()
            raise

    async def _ask(self, request: bytes) -> Response:
        if time.monotonic() - self._used_at > _LONGEST_IDLE_SECONDS:
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self._used_at = time.monotonic()
        return Response(int(status_line.split(" ", 2)[1]), headers, body)

    def close(self) -> None:
        """Let go of it."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
