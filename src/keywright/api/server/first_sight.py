"""
The protocol with first sights: a plain verification of a key that is not cached waits for the look-up, and for no task.

Its bytes are kept as those of a head that waits for its body are. The application takes the request over where anything
else happens meanwhile: more bytes, the end of the service, a look-up that fails. It joins the look-up.
"""

from keywright.api.server.protocol import FastPathProtocol
from keywright.api.verify.fast_path import FastPath, FirstSight, RequestHead
from keywright.api.verify.responses import VERIFY_METER
from keywright.service.checking.look_ups import Waiter


class FirstSightProtocol(FastPathProtocol):
    """Answers by the fast path, too, once the key of a request was looked up."""

    # The whole request in `_pending_head`, which waits for its look-up.
    _seen: FirstSight | None = None
    _look_up_began = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the look-up."""
        if self._seen is not None:
            found = self._seen.found
            self._end_pending()
            found.cancel()
        super().connection_lost(exc)

    def _end_pending(self) -> bytes:
        # The application joins the look-up.
        self._seen = None
        return super()._end_pending()

    def _go_on(self, fast_path: FastPath, head: RequestHead, data: bytes) -> bool:
        seen = self._seen
        if seen is None:
            return super()._go_on(fast_path, head, data)
        if not seen.found.done():
            return False
        self._looked_up(seen.found)
        return self._idle and self._answer_fast(fast_path, data)

    def _wait_for_key(self, fast_path: FastPath, head: RequestHead, data: bytes, began: float) -> bool:
        seen = fast_path.look_up(head, data[head.size :])
        if seen is None:
            return False
        self._pending_head, self._pending = data, head
        self._seen, self._look_up_began = seen, began
        self._unset_keepalive_if_required()
        if self._pending_since is None:
            self._pending_since = self.loop.time()
        self._owed_since = None
        seen.found.add_done_callback(self._looked_up)
        return True

    def _looked_up(self, found: Waiter) -> None:
        seen, head, fast_path = self._seen, self._pending, self._fast_path
        if seen is None or seen.found is not found or head is None or fast_path is None:
            return
        self._seen, answer = None, None
        if self.transport.is_closing():
            return
        if not self.flow.write_paused:
            answer = fast_path.answer_seen(head, seen, self.server_state.default_headers)
        if answer is None:
            self._read(b"")
        else:
            self._send(answer, VERIFY_METER, self._look_up_began)
