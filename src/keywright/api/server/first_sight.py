"""
The protocol with first sights: a plain verification of a key that is not cached waits for the look-up, and for no task.

Its bytes are kept as those of a head that waits for its body are. The application takes the request over where anything
else happens meanwhile: more bytes, the end of the service, a look-up that fails. It joins the look-up.
"""

from time import perf_counter

from keywright.api.server.protocol import FastPathProtocol
from keywright.api.verify.fast_path import FastPath, Head
from keywright.api.verify.responses import VERIFY_METER
from keywright.service.checking.look_ups import Waiter


class FirstSightProtocol(FastPathProtocol):
    """Answers by the fast path, too, once the key of a request was looked up."""

    # The look-up that a whole request waits for; `_pending_head` begins with its bytes.
    _look_up: Waiter | None = None
    _looked_up_for: Head | None = None
    _look_up_began = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the look-up."""
        if self._look_up is not None:
            look_up, self._look_up, self._pending_head = self._look_up, None, b""
            look_up.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer a request whose look-up has ended; one that still waits is parsed with what follows it."""
        if self._look_up is not None and self._look_up.done():
            self._looked_up(self._look_up)
        super().data_received(data)

    def _answer_fast(self, fast_path: FastPath, data: bytes) -> bool:
        if self._look_up is not None:
            return False
        return super()._answer_fast(fast_path, data) or self._wait_for_key(fast_path, self._pending_head + data)

    def _read(self, data: bytes) -> None:
        # The application joins the look-up.
        self._look_up = None
        super()._read(data)

    def _wait_for_key(self, fast_path: FastPath, data: bytes) -> bool:
        """Keep a whole request until its key was looked up; tell whether it was kept."""
        head = None if self.flow.write_paused else fast_path.head_of(data)
        if head is None or len(data) != head.whole:
            return False
        look_up = fast_path.look_up(head, data[head.size :])
        if look_up is None:
            return False
        self._pending_head, self._pending = data, None
        self._look_up, self._looked_up_for, self._look_up_began = look_up, head, perf_counter()
        self._unset_keepalive_if_required()
        if self._pending_since is None:
            self._pending_since = self.loop.time()
        self._owed_since = None
        look_up.add_done_callback(self._looked_up)
        return True

    def _looked_up(self, look_up: Waiter) -> None:
        if self._look_up is look_up:
            self._look_up, head = None, self._looked_up_for
            if self.transport.is_closing():
                return
            answer = None if head is None else self._answer_after(look_up, head)
            if answer is None:
                self._read(b"")
            else:
                self._send(answer, VERIFY_METER, self._look_up_began)

    def _answer_after(self, look_up: Waiter, head: Head) -> bytes | None:
        fast_path = self._fast_path
        if look_up.cancelled() or look_up.exception() or self.flow.write_paused or fast_path is None:
            return None
        body, default_headers = self._pending_head[head.size :], self.server_state.default_headers
        if look_up.result() is None:
            return fast_path.answer_unknown(head, body, default_headers)
        return fast_path.answer(head, body, default_headers)
