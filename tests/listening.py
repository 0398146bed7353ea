"""
TCP servers on the test's own loop that lose no connection at their end.

`asyncio.start_server` loses some. A connection that was accepted just before `Server.close` gets its transport just
after, which asserts that the server is open; the error is swallowed, and the socket left to the garbage collector. It
warns of it in whatever test runs by then.

    async with serving(answer) as port:
        await asyncio.open_connection("127.0.0.1", port)
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from keywright.client.verifier._tasks import end_tasks

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
Take = Callable[[socket.socket], Coroutine[Any, Any, None]]


@asynccontextmanager
async def listening(take: Take) -> AsyncIterator[int]:
    """
    Accept connections on a free port of 127.0.0.1, which is given, until the block ends.

    Args:
        take: Called with each, in a task of its own, which is cancelled in the end. When it returns, the connection is
            closed.
    """
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def close(connection: socket.socket, done: asyncio.Task[None]) -> None:
        # Whatever became of the task, and even if it was cancelled before it began.
        tasks.discard(done)
        connection.close()

    def accept() -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        task = loop.create_task(take(connection))
        tasks.add(task)
        task.add_done_callback(partial(close, connection))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, accept)
        try:
            yield listener.getsockname()[1]
        finally:
            loop.remove_reader(listener)
            await end_tasks(list(tasks))


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """
    Serve connections to the port that is given, until the block ends.

    When *serve* returns, what it wrote is sent and the connection closed; when it is cancelled in the end, it is cut.
    """

    async def take(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await serve(reader, writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async with listening(take) as port:
        yield port
