"""The servers of the tests lose nothing: what they leave behind would fail another test."""

import asyncio
import contextlib
import gc
import socket

import pytest

from tests.listening import listening, serving

CONNECTIONS = 5
SECONDS = 20


@pytest.mark.parametrize("turns", range(6))
async def test_connections_that_come_at_the_end_are_closed(turns: int) -> None:
    """However far the server came with them, all connections are closed when it has ended, by itself."""
    gc.disable()
    try:
        with contextlib.ExitStack() as peers:

            async def stay(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
                await asyncio.Event().wait()

            async with serving(stay) as port:
                connections = [
                    peers.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
                    for _ in range(CONNECTIONS)
                ]
                for _ in range(turns):
                    await asyncio.sleep(0)
            for connection in connections:
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
    finally:
        gc.enable()


async def test_a_connection_that_nobody_took_is_closed() -> None:
    """A task that is cancelled before it began has its connection closed all the same."""
    taken = False

    async def take(_connection: socket.socket) -> None:
        nonlocal taken
        taken = True

    async with listening(take) as port:
        connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        # In the first turn of the loop it is accepted, in the second the task would begin, after this one went on.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    assert not taken


async def test_what_was_written_arrives() -> None:
    """An answer larger than any buffer arrives whole, though whoever wrote it has returned."""
    body = b"x" * 10_000_000

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(body)

    async with serving(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == body
        writer.close()
        await writer.wait_closed()
