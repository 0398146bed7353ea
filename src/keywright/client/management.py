"""
The management API as Python calls: everything that can be done with the keys of one organisation.

    with ManagementClient("https://keys.acme.example", token) as keys:
        created = keys.create("Billing export", scopes=["invoices:read"])
        hand_over(created.private_key.reveal())
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx

from keywright import __version__
from keywright.client import calls
from keywright.client.address import is_on_this_machine, service_address
from keywright.client.answers import error_of
from keywright.client.bodies import UNCHANGED, Unchanged, plain_limits, texts
from keywright.client.calls import Call
from keywright.client.errors import KeywrightError, ServiceUnavailable
from keywright.client.fields import read_date
from keywright.client.records import ApiKey, CreatedApiKey, Page
from keywright.client.repeating import PAUSES, Tries, check_idempotency_key, new_idempotency_key
from keywright.client.trail import Event, EventPage, KeyOptions, Receipt, Usage
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason

TIMEOUT_SECONDS = 10.0

__all__ = ["ApiKey", "CreatedApiKey", "ManagementClient", "Page"]

Result = TypeVar("Result")
AnyPage = TypeVar("AnyPage", Page, EventPage)


class ManagementClient:
    """
    Calls one service with one access token.

    Creations and rotations are tried again, a few times, when their answer was lost: each is sent with an idempotency
    key, so that it is done once however often it is sent. Nothing else is tried twice.

    Every call raises `Refused` when the service says no, `ServiceUnavailable` when it is away, and `UnexpectedAnswer`
    when something else answers; `KeywrightError` is all three, and what is raised for a value that cannot be sent.

    Args:
        base_url: Where the service is, such as `https://keys.acme.example`; what follows the host is kept.
        token: An access token. Its organisation is the one whose keys are seen.
        transport: What carries the requests; by default the network.
        timeout: Seconds to wait for a connection, and for every part of an answer.
        pauses: Seconds before each further try of a creation or rotation; none for a single try.
        sleep: Waits for so many seconds.

    Raises:
        KeywrightError: *base_url* is no http(s) address, or *token* cannot stand in a header.
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
    ) -> None:
        self._base = service_address(base_url)
        self._pauses = tuple(pauses)
        self._sleep = sleep
        self.service_time: datetime | None = None
        """What the service's clock showed when it last answered, to the second; None where that was not told."""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            # Told before anything is sent, and without the token: httpx would quote it.
            raise KeywrightError("The token is empty or holds characters that no access token has.")
        self._http = httpx.Client(
            transport=transport,
            timeout=timeout,
            follow_redirects=False,
            # A proxy of the environment leads away from this machine.
            trust_env=not is_on_this_machine(self._base),
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "User-Agent": f"keywright-python/{__version__}",
            },
        )

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        environment: str | None = None,
        expires_at: datetime | None = None,
        scopes: Collection[str] = (),
        allowed_ips: Collection[str] = (),
        rate_limits: Collection[RateLimit] = (),
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> CreatedApiKey:
        """
        Create a key.

        Args:
            name: 1 to 100 characters that people will read.
            description: At most 255 characters, or None.
            environment: Such as `live`; None for the service's first.
            expires_at: When it is to stop working, aware and in the future; None for never, as far as that is allowed.
            scopes: What it may do, each `resource:action`.
            allowed_ips: Addresses and CIDR blocks that it may be used from; none for any.
            rate_limits: How often it may be used, at most 4 limits of different names.
            external_id: What your own records call its owner, at most 255 characters.
            metadata: Any JSON object of at most 8 KiB.
            idempotency_key: Names this creation, 22 to 255 characters that nobody can guess; made up unless given. The
                same call with the same key within 24 hours gives the same answer and creates nothing.

        Returns:
            The key with its private half, which cannot be had again.
        """
        lists = {"scopes": texts("scopes", scopes), "allowed_ips": texts("allowed_ips", allowed_ips)}
        fields = {
            "name": name,
            "description": description,
            "environment": environment,
            "expires_at": expires_at,
            **lists,
            "rate_limits": plain_limits(rate_limits),
            "external_id": external_id,
            "metadata": metadata,
        }
        wished = {name: value for name, value in fields.items() if value not in (None, (), [])}
        return self._do(calls.create(wished), idempotency_key)

    def list(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        status: str | None = None,
        q: str | None = None,
        environment: str | None = None,
        external_id: str | None = None,
        unused_since: datetime | None = None,
    ) -> Page:
        """
        Read one page of keys, newest first; what is given narrows it.

        Args:
            limit: How many at most, 1 to 1000.
            cursor: The `next` of the page before; None for the first page.
            status: `active`, `expired`, `revoked`, or `expiring`: active, and expiring within 14 days.
            q: Part of the name or description, the beginning of the public key, or the end of the private one.
            environment: Such as `live`.
            external_id: What your own records call the owner.
            unused_since: Keys that were not used at this moment or later, and existed by then; aware.
        """
        which = {"status": status, "q": q, "environment": environment, "external_id": external_id}
        page = {"limit": limit, "cursor": cursor}
        return self._do(calls.list_page({**page, **which, "unused_since": unused_since}))

    def iterate(self, *, page_size: int = 100, **which: Any) -> Iterator[ApiKey]:
        """Give every key, newest first, reading a page of *page_size* (1 to 1000) at a time; *which* as for `list`."""
        for page in _pages(lambda cursor: self.list(limit=page_size, cursor=cursor, **which)):
            yield from page.api_keys

    def get(self, key_id: UUID | str) -> ApiKey:
        """Read one key."""
        return self._do(calls.get(key_id))

    def update(
        self,
        key_id: UUID | str,
        *,
        name: str | Unchanged = UNCHANGED,
        description: str | Unchanged | None = UNCHANGED,
        environment: str | Unchanged = UNCHANGED,
        expires_at: datetime | Unchanged | None = UNCHANGED,
        scopes: Collection[str] | Unchanged = UNCHANGED,
        allowed_ips: Collection[str] | Unchanged = UNCHANGED,
        rate_limits: Collection[RateLimit] | Unchanged = UNCHANGED,
        external_id: str | Unchanged | None = UNCHANGED,
        metadata: Mapping[str, Any] | Unchanged = UNCHANGED,
        if_match: str | None = None,
    ) -> ApiKey:
        """
        Replace fields of a key; those that are not given stay as they are. See `create` for what they mean.

        Args:
            environment: It is part of the key's text, so only the present one is accepted.
            if_match: The `etag` of the key as it was read: when it has been changed since, nothing is changed, and
                `Refused` has the code `precondition_failed`. None to change it however it is by now.
        """
        fields = {
            "name": name,
            "description": description,
            "environment": environment,
            "expires_at": expires_at,
            "scopes": scopes if isinstance(scopes, Unchanged) else texts("scopes", scopes),
            "allowed_ips": allowed_ips if isinstance(allowed_ips, Unchanged) else texts("allowed_ips", allowed_ips),
            "rate_limits": rate_limits if isinstance(rate_limits, Unchanged) else plain_limits(rate_limits),
            "external_id": external_id,
            "metadata": metadata,
        }
        changes = {name: value for name, value in fields.items() if not isinstance(value, Unchanged)}
        return self._do(calls.update(key_id, changes, if_match))

    def rotate(
        self,
        key_id: UUID | str,
        *,
        overlap_seconds: int | None = None,
        retire_when_quiet_seconds: int | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> CreatedApiKey:
        """
        Give a key a new pair; the old one goes on working beside it for a while.

        Args:
            key_id: Which.
            overlap_seconds: For how long, 0 to 2592000 (30 days); None for a day, or 30 days with the next argument.
            retire_when_quiet_seconds: End the old pair sooner: once it has not been used for so long (60 to 2592000)
                after the first use of the new one.
            if_match: As for `update`.
            idempotency_key: As for `create`.

        Returns:
            The key with the private half of its new pair, which cannot be had again.
        """
        fields = {"overlap_seconds": overlap_seconds, "retire_when_quiet_seconds": retire_when_quiet_seconds}
        return self._do(calls.rotate(key_id, fields, if_match), idempotency_key)

    def set_overlap(self, key_id: UUID | str, *, overlap_seconds: int) -> ApiKey:
        """Have the pair that is being rotated out work for so many seconds from now; 0 ends it at once."""
        return self._do(calls.set_overlap(key_id, overlap_seconds))

    def revoke(self, key_id: UUID | str, *, reason: RevocationReason | str | None = None) -> ApiKey:
        """
        Revoke a key for good; revoking it again gives the same answer, with the first reason.

        Args:
            key_id: Which.
            reason: `key_compromise`, `superseded`, `cessation_of_operation`, `privilege_withdrawn` or `unspecified`.
        """
        return self._do(calls.revoke(key_id, reason))

    def delete(self, key_id: UUID | str) -> None:
        """Delete a key: it stops working at once and is listed no more."""
        self._do(calls.delete(key_id))

    def events(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        key_id: UUID | str | None = None,
        type: str | None = None,  # noqa: A002 - the contract's own word
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> EventPage:
        """
        Read one page of what was done to the organisation's keys, deleted ones included, newest first.

        Args:
            limit: How many at most, 1 to 1000.
            cursor: The `next` of the page before; None for the first page.
            key_id: Of this key only.
            type: Of this type only, such as `api_key.revoked`.
            actor: By the bearer of a token with this subject only.
            since: From this moment on; aware.
            until: Before this moment; aware.
        """
        which = {"key_id": key_id, "type": type, "actor": actor, "since": since, "until": until}
        return self._do(calls.events({"limit": limit, "cursor": cursor, **which}))

    def key_events(self, key_id: UUID | str, *, limit: int = 100, cursor: str | None = None) -> EventPage:
        """Read one page of what was done to one key, newest first; of a deleted one, too."""
        return self._do(calls.key_events(key_id, {"limit": limit, "cursor": cursor}))

    def iterate_events(self, *, page_size: int = 100, **which: Any) -> Iterator[Event]:
        """Give every event, newest first, a page of *page_size* (1 to 1000) at a time; *which* as for `events`."""
        for page in _pages(lambda cursor: self.events(limit=page_size, cursor=cursor, **which)):
            yield from page.events

    def usage(self, key_id: UUID | str, *, period: str = "day", since: datetime | None = None) -> Usage:
        """
        Read how a key was used.

        Args:
            key_id: Which.
            period: `day` or `hour`.
            since: Where to begin, aware; None for 7 days ago, or 24 hours.
        """
        return self._do(calls.usage(key_id, {"period": period, "since": since}))

    def receipt(self, key_id: UUID | str) -> Receipt:
        """Read how far the revocation or deletion of a key has come; `Refused` with `not_revoked` for another key."""
        return self._do(calls.receipt(key_id))

    def options(self) -> KeyOptions:
        """Read what a new key may be: environments, scopes, and the operator's rules."""
        return self._do(calls.options())

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, call: Call[Result], idempotency_key: str | None = None) -> Result:
        if not call.repeatable:
            return self._try(call, {})
        if idempotency_key is not None:
            check_idempotency_key(idempotency_key)
        key, tries = idempotency_key or new_idempotency_key(), Tries(self._pauses)
        while True:
            try:
                return self._try(call, {"Idempotency-Key": key})
            except KeywrightError as error:
                pause = tries.pause_after(error)
                if pause is None:
                    error.idempotency_key = key
                    raise
            self._sleep(pause)

    def _try(self, call: Call[Result], headers: Mapping[str, str]) -> Result:
        content_type = {} if call.body is None else {"Content-Type": "application/json"}
        try:
            response = self._http.request(
                call.method,
                f"{self._base}{call.path}",
                params=call.parameters,
                content=call.body,
                headers={**content_type, **call.headers, **headers},
            )
        except httpx.TimeoutException:
            raise ServiceUnavailable(f"{self._base} did not answer in time.") from None
        except httpx.RequestError as error:
            raise ServiceUnavailable(f"{self._base} cannot be reached: {str(error) or type(error).__name__}.") from None
        self.service_time = read_date(response)
        if response.status_code != call.expect:
            raise error_of(response)
        return call.read(response)


def _pages(read: Callable[[str | None], AnyPage]) -> Iterator[AnyPage]:
    """Read page after page, by their cursors; a service that gives a cursor back is not asked again."""
    cursor = None
    while True:
        page = read(cursor)
        yield page
        if page.next is None or page.next == cursor:
            return
        cursor = page.next
