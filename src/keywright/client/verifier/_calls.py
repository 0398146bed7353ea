"""The calls that a verifier makes to its service, and the errors when they fail."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx

from keywright.client._answers import error_of, not_keywright
from keywright.client.address import client_settings, service_address
from keywright.client.errors import KeywrightError, ServiceUnavailable
from keywright.client.verifier._answers import Answer, read_answer, read_facts, verifier_error_of
from keywright.client.verifier._checker import UncachedRequest
from keywright.client.verifier._event_stream import EventStream, StreamEvent
from keywright.keys.addresses import network_of
from keywright.keys.pair import parse_credential
from keywright.keys.usage_records import HOUR_SECONDS, UsageRecord
from keywright.keys.verdict import Code, KeyFacts

STOOD_STILL_SECONDS = 0.5
"""A timeout that fires so much too late means that this process did not run meanwhile."""
MOST_LOOK_UPS = 64
"""The number of concurrent look-ups; others wait."""
MOST_IN_A_REPORT = 1000
MOST_DIGESTS = 128
"""The digests in one request for facts."""

_LONGEST_HOST = 64
_VERIFY = "/api/v2/api-keys/verify"
_FEED = "/api/v2/verifier/feed"
_ACK = "/api/v2/verifier/ack"
_USAGE = "/api/v2/verifier/usage"
_FACTS = "/api/v2/verifier/facts"
# Longer than the pause between two reports, so that the last report of a process needs no new connection.
_KEEP_ALIVE_SECONDS = 60.0

_Value = TypeVar("_Value")


class NoAnswerInTime(ServiceUnavailable):
    """The service did not answer, or did not read the request, within `Timing.answer`."""


class AnswerLost(ServiceUnavailable):
    """The connection ended before the answer was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    The times of a verifier, in seconds.

    `answer` is the limit of a request in all, `connection` of a new connection, `silence` of a feed without an event
    before another is opened. `report` is the pause between two reports of usage. `first_pause` and `longest_pause`
    bound the pause between two tries to open a feed; `refused_pause` follows a refused credential. `end` is the limit
    of closing.
    """

    answer: float = 2.0
    connection: float = 1.0
    silence: float = 3.0
    report: float = 10.0
    first_pause: float = 0.05
    longest_pause: float = 2.0
    refused_pause: float = 10.0
    end: float = 2.0


USUAL_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class Service:
    """
    The address of the service, and the credential of the verifier.

    Raises:
        KeywrightError: The address is not a URL, or `http://` and neither loopback nor allowed, or the credential is
            not that of a verifier of this brand.
    """

    url: str
    credential: str = field(repr=False)
    brand: str
    allow_http: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", service_address(self.url, allow_http=self.allow_http))
        if parse_credential(self.credential, brand=self.brand) is None:
            # Refused before anything is sent; the error does not repeat the text.
            raise KeywrightError(
                f"The verifier's credential must be one that `keywright verifiers create` printed: {self.brand}_vk_..."
            )


class _Connecting:
    """
    Counts the connections that are being made (a `trace` of httpx).

    A connection that is cancelled at the wrong moment leaves an open socket behind.
    """

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    async def __call__(self, event: str, _info: Any) -> None:
        _, step, state = event.split(".")
        if step in ("connect_tcp", "start_tls"):
            self._count += 1 if state == "started" else -1
            self._none.set() if self._count == 0 else self._none.clear()

    async def over(self) -> None:
        """Wait until none is being made."""
        # Another may begin before this task runs again.
        while self._count:
            await self._none.wait()


class _Sending:
    """Tells when a request is about to be sent (a `trace` of httpx), and traces as *trace* does."""

    def __init__(self, trace: _Connecting, sending: Callable[[], None]) -> None:
        self._trace = trace
        self._sending = sending

    async def __call__(self, event: str, info: Any) -> None:
        if event.endswith(".send_request_headers.started"):
            self._sending()
        await self._trace(event, info)


class ServiceCalls:
    """
    Calls one service as one verifier.

    Args:
        service: Its address and the credential.
        timing: Time limits.
        transport: Sends the requests; by default over the network.
    """

    def __init__(self, service: Service, timing: Timing, transport: httpx.AsyncBaseTransport | None) -> None:
        self._base = service.url
        self._timing = timing
        self._connecting = _Connecting()
        self._extensions = {"trace": self._connecting}
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(timing.answer, connect=timing.connection),
            # The feed, reports and acknowledgements never wait behind look-ups.
            limits=httpx.Limits(
                max_connections=MOST_LOOK_UPS + 8,
                max_keepalive_connections=MOST_LOOK_UPS,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
            ),
            **client_settings(service.url, service.credential),
        )

    async def look_up(self, request: UncachedRequest) -> Answer:
        """Get the facts of a key, whatever the request needs of it; see `read_answer` for errors."""
        body = {"key": request.text, **_given(client_ip=_address_of(request))}
        return read_answer(await self._ask(body, {"Keywright-Facts": "1"}))

    async def verify(self, request: UncachedRequest) -> Answer:
        """Get the service's verdict; see `read_answer` for errors."""
        body = {
            "key": request.text,
            "scopes": list(request.requirements.scopes),
            "explain": request.explain,
            **({} if request.cost == 1 else {"cost": request.cost}),
            **({"include": ["metadata"]} if request.metadata else {}),
            **_given(environment=request.requirements.environment, client_ip=_address_of(request)),
        }
        return read_answer(await self._ask(body))

    async def facts(self, digests: Sequence[bytes], *, metadata: bool = False) -> dict[bytes, KeyFacts]:
        """
        Get the facts of keys by the digests of their secrets, at most `MOST_DIGESTS`; unknown ones are left out.

        See `read_facts` for errors. With *metadata* the facts contain the metadata, however long it is.
        """
        body = {"digests": [digest.hex() for digest in digests], **({"include": ["metadata"]} if metadata else {})}
        return read_facts(await self._ask(body, path=_FACTS), digests)

    @asynccontextmanager
    async def feed(
        self, parameters: Mapping[str, str], *, sending: Callable[[], None]
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        """
        Open the feed of changes.

        Args:
            parameters: Of the request.
            sending: Called just before the request is sent, once its connection has been made; again where it has to
                be sent over another one. A transport that traces nothing never calls it.

        Raises:
            CredentialRefused, ServiceUnavailable, httpx.RequestError: It cannot be opened, or is silent.
            StreamBroken: The answer is no stream of events.
        """
        timeout = httpx.Timeout(self._timing.silence, connect=self._timing.connection)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        address = self._base + _FEED
        traced = {"trace": _Sending(self._connecting, sending)}
        async with self._http.stream(
            "GET", address, params=parameters, headers=headers, timeout=timeout, extensions=traced
        ) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise verifier_error_of(response)
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise ServiceUnavailable(str(not_keywright(response)))
            async with aclosing(_events(response)) as events:
                yield events

    async def acknowledge(
        self, session: UUID, seqs: Sequence[int], *, after: str | None, to: str | None, closed: bool = False
    ) -> None:
        """
        Report that a session has applied changes; see `error_of` for errors.

        Args:
            session: The session.
            seqs: Changes by their numbers.
            after: The cursor up to which it acknowledged before.
            to: Its cursor: all changes up to it have been applied.
            closed: Whether the session ends.
        """
        body = {"session": str(session), "seqs": list(seqs), **_given(after=after, to=to)}
        _expect_done(await self._post(_ACK, body | ({"closed": True} if closed else {})))

    async def report(self, session: UUID, batch: int, records: Sequence[UsageRecord]) -> None:
        """
        Report usage, at most `MOST_IN_A_REPORT` records; see `error_of` for errors.

        A service of an earlier version refuses a report with refusals as a whole: it gets the uses alone.

        *batch* numbers the reports of the session, from 1. The service counts the same number once, so a report may be
        repeated when its answer was lost, with the same records and before any newer one.
        """
        head = {"session": str(session), "batch": batch}
        response = await self._post(_USAGE, {**head, "usage": list(map(_shown, records))})
        uses = [record for record in records if record.source.code is Code.VALID]
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY and len(uses) < len(records):
            response = await self._post(_USAGE, {**head, "usage": list(map(_shown, uses))})
        _expect_done(response)

    async def connected(self) -> None:
        """Wait until no connection is being made, so that tasks can be cancelled; takes a bounded time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timing.connection):
                await self._connecting.over()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, body: Any, headers: Mapping[str, str] | None = None, *, path: str = _VERIFY) -> httpx.Response:
        try:
            return await self._post(path, body, headers)
        except AnswerLost:
            # The service may close an idle connection just when it is used again.
            return await self._post(path, body, headers)

    async def _post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            return await self._http.post(self._base + path, json=body, headers=headers, extensions=self._extensions)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            raise AnswerLost(f"{self._base} closed the connection without an answer.") from None
        except httpx.TimeoutException:
            raise NoAnswerInTime(f"{self._base} did not answer in time.") from None
        except httpx.RequestError as error:
            raise ServiceUnavailable(f"{self._base} cannot be reached: {str(error) or type(error).__name__}.") from None


async def within_time(call: Callable[[], Awaitable[_Value]], seconds: float) -> _Value:
    """
    Call; and once more after a timeout in which this process did not run, as after SIGSTOP.

    Args:
        call: A call of the service.
        seconds: How long one call may take in all, however its answer trickles in.

    Raises:
        NoAnswerInTime: It took longer.
    """
    loop = asyncio.get_running_loop()
    for _ in range(2):
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except (TimeoutError, NoAnswerInTime):
            # A late timer means that this process did not run. The answer may have arrived meanwhile.
            if loop.time() - began <= seconds + STOOD_STILL_SECONDS:
                break
    raise NoAnswerInTime("The service did not answer in time.")


def process_name() -> str:
    """Make the name of a process that has none: host and process number, such as `api-7:4711`."""
    host = re.sub("[^!-~]", "-", socket.gethostname())[:_LONGEST_HOST]
    return f"{host}:{os.getpid()}"


async def _events(response: httpx.Response) -> AsyncGenerator[StreamEvent, None]:
    stream = EventStream()
    pieces = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
    async with aclosing(pieces):
        async for piece in pieces:
            for event in stream.feed(piece):
                yield event


def _expect_done(response: httpx.Response) -> None:
    if response.status_code != httpx.codes.NO_CONTENT:
        raise error_of(response)


def _address_of(request: UncachedRequest) -> str | None:
    # The service limits guesses by network and refuses a text that is not an address.
    return request.requirements.client_ip if network_of(request.requirements.client_ip) else None


def _shown(record: UsageRecord) -> dict[str, Any]:
    return {
        "digest": record.source.digest.hex(),
        "hour": _iso(record.source.hour * HOUR_SECONDS),
        "network": record.source.network,
        "agent": record.source.agent,
        "first_seen": _iso(record.first),
        "last_seen": _iso(record.last),
        "count": record.uses,
        **({} if record.source.code is Code.VALID else {"code": record.source.code}),
    }


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
