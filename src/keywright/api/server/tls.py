"""
TLS in front of the HTTP protocol: the handshake, and the bytes of both directions.

The layers of asyncio and uvloop do not fit the bounds of `counted`. They call a protocol only after a handshake, for
which a client has a minute, so nobody counts its connection until then. They call an answer sent once it is in the
transport beneath, so a client that reads nothing looks like one that reads all. And they wait half a minute for the
farewell of a client. Here a connection is counted from its beginning, the bytes that wait are those of the transport
beneath, and an end waits for nobody.

OpenSSL does the cryptography, through `ssl.SSLObject`; here are only bytes. Nothing is renegotiated, so that it never
reads in order to write.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from keywright import telemetry
from keywright.api.http.connections import Place
from keywright.api.server.certificate import ServerCertificate
from keywright.api.server.counted import (
    HIGH_WATER_BYTES,
    SURPLUS_SECONDS,
    CountedConnection,
    connections_of,
    encoded,
    refused,
)

HANDSHAKE_SECONDS = 10.0
"""From the opening of a connection to the end of its handshake."""
# The most of a record; also how much OpenSSL is given at once, because it keeps the memory of the largest piece.
_RECORD_BYTES = 16 * 1024


class TlsTransport(asyncio.Transport):
    """
    Encrypts what the protocol writes; everything else it does is done by the transport beneath it.

    Args:
        raw: The transport of the encrypted bytes.
        tls: The state of the connection, after its handshake.
        outgoing: Where *tls* writes.
    """

    def __init__(self, raw: asyncio.Transport, tls: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> None:
        super().__init__()
        self._raw = raw
        self._tls = tls
        self._outgoing = outgoing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give the context as `sslcontext`, and everything else of the transport beneath."""
        return self._tls.context if name == "sslcontext" else self._raw.get_extra_info(name, default)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Encrypt and send; nothing is sent after `close`."""
        if not data or self._raw.is_closing():
            return
        try:
            # One record a call.
            sent = self._tls.write(data)
            if sent == len(data):
                self.flush()
            else:
                self._write_on(memoryview(data)[sent:])
        except ssl.SSLError:
            # A message of the client broke the connection.
            self._raw.abort()

    def _write_on(self, rest: "memoryview[Any]") -> None:
        # OpenSSL keeps the memory of the largest content of its buffer, so each record is taken at once.
        records = [self._outgoing.read()]
        while rest:
            rest = rest[self._tls.write(rest) :]
            records.append(self._outgoing.read())
        self._raw.write(b"".join(records))

    def flush(self) -> None:
        """Send what was encrypted."""
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def close(self) -> None:
        """Say that the answers end here, and close once the client has read them; its own farewell is not awaited."""
        if self._raw.is_closing():
            return
        # It is said in any case, and then asks for the other end's.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self.flush()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        return self._raw.is_closing()

    def get_write_buffer_size(self) -> int:
        """Give the number of encrypted bytes that wait for the client."""
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many waiting bytes on the protocol has to pause."""
        self._raw.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._raw.resume_reading()


class TlsConnection(asyncio.Protocol):
    """
    A connection with TLS: shakes hands, then decrypts for a protocol that is made only now.

    During the handshake it has a place like any other connection. Without one, or when the handshake takes too long,
    the connection is closed without an answer: nobody could read it yet.

    Args:
        kind: Makes the protocol of the decrypted bytes.
        certificate: Of the server.
        arguments: Of *kind*, as uvicorn gives them.
    """

    handshake_seconds = HANDSHAKE_SECONDS

    def __init__(self, kind: type[CountedConnection], certificate: ServerCertificate, **arguments: Any) -> None:
        self._kind = kind
        self._certificate = certificate
        self._arguments = arguments
        self._loop: asyncio.AbstractEventLoop = arguments.get("_loop") or asyncio.get_running_loop()
        self._connections = connections_of(arguments["config"].loaded_app)
        # uvicorn's, which ends them when the service stops.
        self._alive: set[Any] = arguments["server_state"].connections
        self._place = Place.NONE
        self._deadline: asyncio.TimerHandle | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # From the first bytes on, so that a silent connection costs little.
        self._tls: ssl.SSLObject | None = None
        # After the handshake.
        self._transport: TlsTransport | None = None
        self._protocol: CountedConnection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place for the handshake, or close the connection."""
        self._kind.accepted()
        self._raw = transport
        self._place = self._connections.enter()
        if self._place is Place.NONE:
            telemetry.connections_refused.inc()
            transport.abort()
            return
        self._alive.add(self)
        surplus = self._place is Place.SURPLUS
        seconds = min(self.handshake_seconds, SURPLUS_SECONDS) if surplus else self.handshake_seconds
        self._deadline = self._loop.call_later(seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Decrypt, and hand over what was in *data* in one piece, as it would come without TLS."""
        if self._tls is None:
            self._tls = self._certificate.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        pieces: list[bytes] = []
        goes_on = True
        for start in range(0, len(data), _RECORD_BYTES):
            if goes_on and not self._raw.is_closing():
                self._incoming.write(memoryview(data)[start : start + _RECORD_BYTES])
                goes_on = self._decrypt(self._tls, pieces)
        if pieces and self._protocol is not None:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._outgoing.pending:
            self._answer_message(is_all=not pieces)
        if not goes_on:
            self._end()

    def eof_received(self) -> None:
        """End the connection, as a connection without TLS ends."""
        if self._protocol is not None:
            self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back, or end the protocol."""
        self._leave()
        if self._protocol is not None:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Have the protocol wait for its client."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Have the protocol go on."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    def shutdown(self) -> None:
        """End a connection without a request; called when the service stops."""
        self._raw.abort()

    def _decrypt(self, tls: ssl.SSLObject, pieces: list[bytes]) -> bool:
        """Add what can be read to *pieces*; tell whether the client may send more."""
        try:
            if self._transport is None:
                tls.do_handshake()
                self._begin(tls)
            while self._incoming.pending or tls.pending():
                piece = tls.read(_RECORD_BYTES)
                if not piece:
                    return False
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError as error:
            if self._transport is None:
                self._fail(error)
            return False
        return True

    def _begin(self, tls: ssl.SSLObject) -> None:
        """Begin with the protocol, after the handshake."""
        self._leave()
        self._transport = TlsTransport(self._raw, tls, self._outgoing)
        self._transport.flush()
        self._protocol = self._kind(**self._arguments)
        self._protocol.connection_made(self._transport)

    def _answer_message(self, *, is_all: bool) -> None:
        """Send what OpenSSL answers by itself, unless a client asks for such answers only, and reads none of them."""
        if is_all and self._protocol is not None and self._raw.get_write_buffer_size() > HIGH_WATER_BYTES:
            self._protocol.give_up()
        elif not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def _end(self) -> None:
        """End the connection after the client's farewell, or after what is no TLS; the alert about that is written."""
        if self._transport is None:
            self._raw.close()
        elif not self._transport.is_closing():
            self.eof_received()
            self._transport.close()

    def _fail(self, error: ssl.SSLError) -> None:
        telemetry.tls_failures.inc()
        if error.reason == "HTTP_REQUEST":
            self._outgoing.read()
            self._raw.write(encoded(refused("invalid_request", "This port speaks TLS: use https://.")))

    def _give_up(self) -> None:
        telemetry.tls_failures.inc()
        self._raw.abort()

    def _leave(self) -> None:
        """Give the place of the handshake back."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._alive.discard(self)
        self._connections.move(self._place, Place.NONE)
        self._place = Place.NONE


def secured(kind: type[CountedConnection], certificate: ServerCertificate) -> Callable[..., TlsConnection]:
    """
    Make the connections of a server with TLS, for uvicorn.

    Args:
        kind: The protocol behind TLS.
        certificate: Of the server.
    """

    def make(**arguments: Any) -> TlsConnection:
        return TlsConnection(kind, certificate, **arguments)

    return make
