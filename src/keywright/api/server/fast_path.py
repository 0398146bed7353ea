"""
The protocol with its fast path: some requests are answered out of their bytes, before the parser reads them.

`accelerator` says which. Whatever it leaves goes to the parser as it came, and the bounds of `protocol` hold for both.
"""

import asyncio
from math import inf

from keywright.api.accelerator import Accelerator, Head
from keywright.api.checking import Checking
from keywright.api.server.protocol import BoundedHttpProtocol


class FastPathProtocol(BoundedHttpProtocol):
    """Asks the application's accelerator first, wherever a request may begin."""

    # None where there is none, or where it would leave out what uvicorn was told to do.
    _accelerator: Accelerator | None = None
    # The head that it answered last, and when, on the loop's clock.
    _answered_head: Head | None = None
    _answered_at = -inf
    # A head that the parser has not seen yet, because its body may be all that is missing for an answer.
    _held_back = b""
    _held_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if not self.access_log and self.limit_concurrency is None:
            self._accelerator = self.app.accelerator if isinstance(self.app, Checking) else None

    def data_received(self, data: bytes) -> None:
        """Answer a whole request if it is one for that; otherwise have it read."""
        if (
            self._at_rest
            and self._accelerator is not None
            and not self.transport.is_closing()
            and self._answer_at_once(self._accelerator, data)
        ):
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request; one whose head was held back began when that came."""
        super().on_message_begin()
        if self._held_since is not None:
            self._owed_since, self._held_since = self._held_since, None

    def shutdown(self) -> None:
        """End the connection once it owes no answer any more."""
        if self._held_back:
            self._read(b"")
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing came for long enough; what was answered at once left the timer alone."""
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _read(self, data: bytes) -> None:
        if self._held_back:
            data, self._held_back = self._held_back + data, b""
        super()._read(data)

    def _look_at_the_clock(self) -> None:
        if self._held_back:
            self._read(b"")
        super()._look_at_the_clock()

    def _answer_at_once(self, accelerator: Accelerator, data: bytes) -> bool:
        """Answer one whole request if it is one for that, as if the parser had read it; tell whether it was."""
        if self._held_back:
            data = self._held_back + data
        if self.flow.write_paused:
            return False
        default_headers = self.server_state.default_headers
        answer = accelerator.repeat(data, default_headers) or accelerator.let_through(
            data, self.client, default_headers
        )
        if answer is None:
            head = self._answered_head
            if head is None or not data.startswith(head.raw):
                head = self._answered_head = accelerator.head_of(data)
            if head is None:
                return False
            if len(data) != head.length:
                return self._hold_back(accelerator, head, data)
            answer = accelerator.answer(head, data, default_headers)
            if answer is None:
                return False
        self._held_back, self._held_since = b"", None
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self._owed_since = None
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

    def _hold_back(self, accelerator: Accelerator, head: Head, data: bytes) -> bool:
        """Wait for the body of a request whose head came alone, as many clients send it; tell whether that is so."""
        if len(data) != len(head.raw) or not accelerator.is_expected(head):
            return False
        self._held_back = data
        self._unset_keepalive_if_required()
        self._owed_since = self._held_since = self.loop.time()
        return True
