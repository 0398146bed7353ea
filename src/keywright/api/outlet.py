"""The way out of answers: the head of each goes with the beginning of its body, in one piece and not in two."""

import asyncio


class Outlet:
    """
    What the cycles of a connection's requests write to, in the place of the connection.

    uvicorn writes the head of an answer by itself, which is a system call and a packet more for every answer. Here a
    head waits for what is written next: until the end of the answer, or until the loop's next turn, so that an answer
    that streams begins no later than that.

    Args:
        transport: The connection.
        loop: Its loop.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        # None before an answer, empty once its head is on its way.
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Send *data*, behind what was written before."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._let_go)
        elif self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def end(self) -> None:
        """End an answer; one without a body leaves now."""
        self._let_go()
        self._head = None

    def close(self) -> None:
        """Close the connection behind what was written."""
        self._let_go()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether the connection is closed or closing."""
        return self._transport.is_closing()

    def _let_go(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            if not self._transport.is_closing():
                self._transport.write(head)
