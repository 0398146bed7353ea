"""
The management API as Python calls: create, list, get, revoke and delete the keys of one organisation.

    with ManagementClient("https://keys.acme.example", token) as keys:
        created = keys.create("Billing export")
        hand_over(created.private_key.reveal())
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from keywright import __version__
from keywright.client.address import is_loopback, service_address
from keywright.client.answers import ApiKey, CreatedApiKey, Page, error_of, read_created, read_key, read_page
from keywright.client.errors import KeywrightError, ServiceUnavailable

PATH = "/api/v2/api-keys"
TIMEOUT_SECONDS = 10.0

__all__ = ["ApiKey", "CreatedApiKey", "ManagementClient", "Page"]


class ManagementClient:
    """
    Calls one service with one access token. Nothing is tried twice: whether that is safe is the caller's to say.

    Every call raises `Refused` when the service says no, `ServiceUnavailable` when it is away, and `UnexpectedAnswer`
    when something else answers; `KeywrightError` is all three.

    Args:
        base_url: Where the service is, such as `https://keys.acme.example`; what follows the host is kept.
        token: An access token. Its organisation is the one whose keys are seen.
        transport: What carries the requests; by default the network.
        timeout: Seconds to wait for a connection, and for every part of an answer.

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
    ) -> None:
        self._base = service_address(base_url)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            # Told before anything is sent, and without the token: httpx would quote it.
            raise KeywrightError("The token is empty or holds characters that no access token has.")
        self._http = httpx.Client(
            transport=transport,
            timeout=timeout,
            follow_redirects=False,
            # A proxy of the environment leads away from this machine.
            trust_env=not is_loopback(self._base),
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "User-Agent": f"keywright-python/{__version__}",
            },
        )

    def create(self, name: str, *, description: str | None = None) -> CreatedApiKey:
        """
        Create a key.

        Args:
            name: 1 to 100 characters that people will read.
            description: At most 255 characters, or None.

        Returns:
            The key with its private half, which cannot be had again.

        Raises:
            KeywrightError: One of them holds half of a surrogate pair; or as above.
        """
        fields = {"name": name, **({} if description is None else {"description": description})}
        try:
            "".join(fields.values()).encode()
        except UnicodeEncodeError:
            raise KeywrightError("The name or description is not text that UTF-8 can carry.") from None
        return read_created(self._call("POST", expect=201, json=fields))

    def list(self, *, limit: int = 100, cursor: str | None = None) -> Page:
        """
        Read one page of keys, newest first.

        Args:
            limit: How many at most, 1 to 1000.
            cursor: The `next` of the page before; None for the first page.
        """
        parameters = {"limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
        return read_page(self._call("GET", expect=200, params=parameters))

    def iterate(self, *, page_size: int = 100) -> Iterator[ApiKey]:
        """Give every key, newest first, reading a page of *page_size* (1 to 1000) at a time."""
        cursor = None
        while True:
            page = self.list(limit=page_size, cursor=cursor)
            yield from page.api_keys
            if page.next is None or page.next == cursor:
                return
            cursor = page.next

    def get(self, key_id: UUID | str) -> ApiKey:
        """Read one key."""
        return read_key(self._call("GET", _segment(key_id), expect=200))

    def revoke(self, key_id: UUID | str) -> ApiKey:
        """Revoke a key for good; revoking it again gives the same answer."""
        return read_key(self._call("PUT", f"{_segment(key_id)}/revoke", expect=200))

    def delete(self, key_id: UUID | str) -> None:
        """Delete a key: it stops working at once and is listed no more."""
        self._call("DELETE", _segment(key_id), expect=204)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str = "", *, expect: int, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, f"{self._base}{PATH}{path}", **content)
        except httpx.TimeoutException:
            raise ServiceUnavailable(f"{self._base} did not answer in time.") from None
        except httpx.RequestError as error:
            raise ServiceUnavailable(f"{self._base} cannot be reached: {str(error) or type(error).__name__}.") from None
        if response.status_code != expect:
            raise error_of(response)
        return response


def _segment(key_id: UUID | str) -> str:
    """Write an id as a piece of a path; one that is no UUID must not reach another route."""
    try:
        return f"/{key_id if isinstance(key_id, UUID) else UUID(key_id)}"
    except ValueError:
        raise KeywrightError("The id must be a UUID: 8-4-4-4-12 hexadecimal digits.") from None
