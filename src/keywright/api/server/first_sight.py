"""
The protocol with first sights: a plain verification of a key that is not cached waits for the look-up, and for no task.

Its bytes are kept as those of a head that waits for its body are. The application takes the request over where anything
else happens meanwhile: more bytes, the end of the service, a look-up that fails. It joins the look-up.
"""

from keywright.api.server.protocol import FastPathProtocol
from keywright.api.verify.fast_path import FastPath, RequestHead
from keywright.api.verify.responses import VERIFY_METER
from keywright.service.checking.look_ups import Waiter


class FirstSightProtocol(FastPathProtocol):
    """Answers by the fast path, too, once the key of a request was looked up."""

    # The look-up that the whole request in `_pending_head` waits for.
    _look_up: Waiter | None = None
    _look_up_began = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the look-up."""
        if self._look_up is not None:
            look_up = self._look_up
            self._end_pending()
            look_up.cancel()
        super().connection_lost(exc)

    def _end_pending(self) -> bytes:
        # The application joins the look-up.
        self._look_up = None
        return super()._end_pending()

    def _go_on(self, fast_path: FastPath, head: RequestHead, data: bytes) -> bool:
        look_up = self._look_up
        if look_up is None:
            return super()._go_on(fast_path, head, data)
        if not look_up.done():
            return False
        self._looked_up(look_up)
        return self._idle and self._answer_fast(fast_path, data)

    def _wait_for_key(self, fast_path: FastPath, head: RequestHead, data: bytes, began: float) -> bool:
        look_up = fast_path.look_up(head, data[head.size :])
        if look_up is None:
            return False
        self._pending_head, self._pending = data, head
        self._look_up, self._look_up_began = look_up, began
        self._unset_keepalive_if_required()
        if self._pending_since is None:
            self._pending_since = self.loop.time()
        self._owed_since = None
        look_up.add_done_callback(self._looked_up)
        return True

    def _looked_up(self, look_up: Waiter) -> None:
        head = self._pending
        if self._look_up is not look_up or head is None:
            return
        self._look_up = None
        if self.transport.is_closing():
            return
        answer = self._answer_after(look_up, head)
        if answer is None:
            self._read(b"")
        else:
            self._send(answer, VERIFY_METER, self._look_up_began)

    def _answer_after(self, look_up: Waiter, head: RequestHead) -> bytes | None:
        fast_path = self._fast_path
        if look_up.cancelled() or look_up.exception() or self.flow.write_paused or fast_path is None:
            return None
        body, default_headers = self._pending_head[head.size :], self.server_state.default_headers
        if look_up.result() is None:
            return fast_path.answer_unknown(head, body, default_headers)
        return fast_path.answer(head, body, default_headers)
