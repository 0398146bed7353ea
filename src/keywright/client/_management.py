"""
The clients of the management API, for the keys of one organization.

    with ManagementClient("https://keys.acme.example", token) as keys:
        created = keys.create("Billing export", scopes=["invoices:read"])
        hand_over(created.private_key.reveal())

`AsyncManagementClient` has the same methods as coroutines. `_calls` defines them.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload
from uuid import UUID

import httpx

from keywright.client import _calls as calls
from keywright.client import _operator_calls as operator_calls
from keywright.client._answers import ApiKeyPage, AuditLogPage, UsagePage, error_of, read_date
from keywright.client._calls import Call
from keywright.client._retries import PAUSES, Retries, check_idempotency_key, new_idempotency_key
from keywright.client.address import client_settings, service_address
from keywright.client.errors import KeywrightError, ServiceUnavailable
from keywright.contract import ApiKeyResponse, EventResponse

TIMEOUT_SECONDS = 10.0

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
AnyPage = TypeVar("AnyPage", ApiKeyPage, AuditLogPage, UsagePage)

Step = httpx.Request | float
"""The next step of a client: send a request, or wait for so many seconds."""

Outcome = httpx.Response | httpx.RequestError | None
"""The outcome of a step; None after a wait."""


class _Method(Generic[Parameters, Result]):
    """A method of both clients, made from the function that returns its call."""

    def __init__(self, describe: Callable[Parameters, Call[Result]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: "ManagementClient | Operator", owner: type) -> Callable[Parameters, Result]: ...
    @overload
    def __get__(
        self, client: "AsyncManagementClient | AsyncOperator", owner: type
    ) -> Callable[Parameters, Awaitable[Result]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Give the method of *client*."""
        if client is None:
            return self

        @wraps(self._describe)
        def method(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Any:
            return client.carry_out(self._describe(*args, **kwargs))

        return method


class _OperatorClient:
    """The operations on the keys of all organizations, for a token with `operate:api_keys`."""

    find = _Method(operator_calls.find)
    list = _Method(operator_calls.list_page)
    get = _Method(operator_calls.get)
    revoke = _Method(operator_calls.revoke)
    receipt = _Method(operator_calls.receipt)
    events = _Method(operator_calls.events)
    organizations = _Method(operator_calls.organizations)
    preview_revocation = _Method(operator_calls.preview_revocation)
    start_revocation = _Method(operator_calls.start_revocation)
    revocation = _Method(operator_calls.revocation)
    verifiers = _Method(operator_calls.verifiers)
    create_verifier = _Method(operator_calls.create_verifier)
    revoke_verifier = _Method(operator_calls.revoke_verifier)
    verdict_figures = _Method(operator_calls.verdict_figures)
    top_figures = _Method(operator_calls.top_figures)
    key_figures = _Method(operator_calls.key_figures)
    revocation_figures = _Method(operator_calls.revocation_figures)
    verifier_figures = _Method(operator_calls.verifier_figures)


class Operator(_OperatorClient):
    """
    What a `ManagementClient` does for operators; its attribute `operator`.

    Args:
        client: Carries the calls out.
    """

    def __init__(self, client: "ManagementClient") -> None:
        self._client = client

    def carry_out(self, call: Call[Result]) -> Result:
        """Do what a function of `_operator_calls` describes."""
        return self._client.carry_out(call)


class AsyncOperator(_OperatorClient):
    """
    The same for an event loop; every method is a coroutine.

    Args:
        client: Carries the calls out.
    """

    def __init__(self, client: "AsyncManagementClient") -> None:
        self._client = client

    async def carry_out(self, call: Call[Result]) -> Result:
        """Do what a function of `_operator_calls` describes."""
        return await self._client.carry_out(call)


class _Client:
    """The operations and the steps of a call, for both clients. It does no I/O."""

    create = _Method(calls.create)
    list = _Method(calls.list_page)
    get = _Method(calls.get)
    update = _Method(calls.update)
    rotate = _Method(calls.rotate)
    set_overlap = _Method(calls.set_overlap)
    revoke = _Method(calls.revoke)
    delete = _Method(calls.delete)
    events = _Method(calls.events)
    key_events = _Method(calls.key_events)
    usage = _Method(calls.usage)
    receipt = _Method(calls.receipt)
    options = _Method(calls.options)

    def __init__(self, base_url: str, token: str, timeout: float, pauses: Sequence[float], allow_http: bool) -> None:
        self._base = service_address(base_url, allow_http=allow_http)
        self._pauses = tuple(pauses)
        self.service_time: datetime | None = None
        """The service's clock at its last answer, to the second; None where that answer had no `Date`."""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            # Refused here, because an error of httpx would quote the token.
            raise KeywrightError("The token is empty or contains characters that no access token has.")
        self._settings = {"timeout": timeout, **client_settings(self._base, token)}

    def _steps(self, http: httpx.Client | httpx.AsyncClient, call: Call[Result]) -> Generator[Step, Outcome, Result]:
        """Give the steps of a call one after the other; each gets the outcome of the one before."""
        if not call.idempotent:
            return self._result(call, (yield self._request(http, call, {})))
        if call.idempotency_key is not None:
            check_idempotency_key(call.idempotency_key)
        key, retries = call.idempotency_key or new_idempotency_key(), Retries(self._pauses)
        while True:
            try:
                return self._result(call, (yield self._request(http, call, {"Idempotency-Key": key})))
            except KeywrightError as error:
                pause = retries.pause_after(error)
                if pause is None:
                    error.idempotency_key = key
                    raise
            yield pause

    def _request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call[Any], headers: dict[str, str]
    ) -> httpx.Request:
        content_type = {} if call.body is None else {"Content-Type": "application/json"}
        return http.build_request(
            call.method,
            f"{self._base}{call.path}",
            params=call.parameters,
            content=call.body,
            headers={**content_type, **call.headers, **headers},
        )

    def _result(self, call: Call[Result], outcome: Outcome) -> Result:
        if isinstance(outcome, httpx.TimeoutException):
            raise ServiceUnavailable(f"{self._base} did not answer in time.")
        if not isinstance(outcome, httpx.Response):
            raise ServiceUnavailable(f"{self._base} cannot be reached: {str(outcome) or type(outcome).__name__}.")
        self.service_time = read_date(outcome)
        if outcome.status_code != call.expect:
            raise error_of(outcome)
        return call.read(outcome)


class ManagementClient(_Client):
    """
    Calls one service with one access token.

    Creations and rotations are retried a few times when their answer was lost. Each is sent with an idempotency key, so
    it is done once however often it is sent. Other calls are not retried.

    Every call raises `Refused` when the service refuses, `ServiceUnavailable` when it is unavailable, and
    `UnexpectedAnswer` when another server answers. `KeywrightError` is the base of all three, and is raised itself for
    a value that cannot be sent.

    Args:
        base_url: The address of the service, such as `https://keys.acme.example`; a path is kept.
        token: An access token. The client sees the keys of its organization.
        transport: Carries the requests; by default the network.
        timeout: Seconds to wait for a connection, and for every part of an answer.
        pauses: Seconds before each retry of a creation or rotation; empty for no retry.
        sleep: Waits for so many seconds.
        allow_http: Allow `http://` to another machine; only on a network that you trust.

    Raises:
        KeywrightError: *base_url* is no http(s) address, or `http://` and neither loopback nor allowed, or *token* is
            not allowed in a header.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = TIMEOUT_SECONDS,
        pauses: Sequence[float] = PAUSES,
        sleep: Callable[[float], None] = time.sleep,
        allow_http: bool = False,
    ) -> None:
        super().__init__(base_url, token, timeout, pauses, allow_http)
        self._sleep = sleep
        self._http = httpx.Client(transport=transport, **self._settings)
        self.operator = Operator(self)
        """The operations of operators, on the keys of all organizations."""

    def iterate(self, *, page_size: int = 100, **which: Any) -> Iterator[ApiKeyResponse]:
        """Give every key, newest first, reading a page of *page_size* (1 to 1000) at a time; *which* as for `list`."""
        for page in self._pages(lambda cursor: calls.list_page(limit=page_size, cursor=cursor, **which)):
            yield from page.api_keys

    def iterate_events(self, *, page_size: int = 100, **which: Any) -> Iterator[EventResponse]:
        """Give every event, newest first, a page of *page_size* (1 to 1000) at a time; *which* as for `events`."""
        for page in self._pages(lambda cursor: calls.events(limit=page_size, cursor=cursor, **which)):
            yield from page.events

    def iterate_usage(self, key_id: UUID | str, *, page_size: int = 20, **which: Any) -> Iterator[UsagePage]:
        """Give the usage of a key, page after page of *page_size* (1 to 100) secrets; *which* as for `usage`."""
        return self._pages(lambda cursor: calls.usage(key_id, limit=page_size, cursor=cursor, **which))

    def carry_out(self, call: Call[Result]) -> Result:
        """Do what a function of `_calls` describes."""
        steps = self._steps(self._http, call)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            outcome = self._do(step)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _do(self, step: Step) -> Outcome:
        if not isinstance(step, httpx.Request):
            self._sleep(step)
            return None
        try:
            return self._http.send(step)
        except httpx.RequestError as error:
            return error

    def _pages(self, describe: Callable[[str | None], Call[AnyPage]]) -> Iterator[AnyPage]:
        """Read page after page by their cursors; end when a cursor is repeated."""
        cursor = None
        while True:
            page = self.carry_out(describe(cursor))
            yield page
            if page.next is None or page.next == cursor:
                return
            cursor = page.next


async def _sleep_on_the_loop(seconds: float) -> None:
    # Not at the top: a program with the synchronous client needs no event loop, and this import is one of the longest.
    import asyncio

    await asyncio.sleep(seconds)


class AsyncManagementClient(_Client):
    """
    The same for an event loop: every method is a coroutine, and the `iterate` methods are for `async for`.

        async with AsyncManagementClient("https://keys.acme.example", token) as keys:
            created = await keys.create("Billing export", scopes=["invoices:read"])

    Args:
        base_url: As for `ManagementClient`.
        token: As for `ManagementClient`.
        transport: Carries the requests; by default the network.
        timeout: As for `ManagementClient`.
        pauses: As for `ManagementClient`.
        sleep: Waits for so many seconds, without blocking the loop.
        allow_http: As for `ManagementClient`.

    Raises:
        KeywrightError: As for `ManagementClient`.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = TIMEOUT_SECONDS,
        pauses: Sequence[float] = PAUSES,
        sleep: Callable[[float], Awaitable[None]] = _sleep_on_the_loop,
        allow_http: bool = False,
    ) -> None:
        super().__init__(base_url, token, timeout, pauses, allow_http)
        self._sleep = sleep
        self._http = httpx.AsyncClient(transport=transport, **self._settings)
        self.operator = AsyncOperator(self)
        """The operations of operators, on the keys of all organizations."""

    async def iterate(self, *, page_size: int = 100, **which: Any) -> AsyncIterator[ApiKeyResponse]:
        """Give every key, newest first, reading a page of *page_size* (1 to 1000) at a time; *which* as for `list`."""
        async for page in self._pages(lambda cursor: calls.list_page(limit=page_size, cursor=cursor, **which)):
            for key in page.api_keys:
                yield key

    async def iterate_events(self, *, page_size: int = 100, **which: Any) -> AsyncIterator[EventResponse]:
        """Give every event, newest first, a page of *page_size* (1 to 1000) at a time; *which* as for `events`."""
        async for page in self._pages(lambda cursor: calls.events(limit=page_size, cursor=cursor, **which)):
            for event in page.events:
                yield event

    def iterate_usage(self, key_id: UUID | str, *, page_size: int = 20, **which: Any) -> AsyncIterator[UsagePage]:
        """Give the usage of a key, page after page of *page_size* (1 to 100) secrets; *which* as for `usage`."""
        return self._pages(lambda cursor: calls.usage(key_id, limit=page_size, cursor=cursor, **which))

    async def carry_out(self, call: Call[Result]) -> Result:
        """Do what a function of `_calls` describes."""
        steps = self._steps(self._http, call)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            outcome = await self._do(step)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def _do(self, step: Step) -> Outcome:
        if not isinstance(step, httpx.Request):
            await self._sleep(step)
            return None
        try:
            return await self._http.send(step)
        except httpx.RequestError as error:
            return error

    async def _pages(self, describe: Callable[[str | None], Call[AnyPage]]) -> AsyncIterator[AnyPage]:
        cursor = None
        while True:
            page = await self.carry_out(describe(cursor))
            yield page
            if page.next is None or page.next == cursor:
                return
            cursor = page.next
