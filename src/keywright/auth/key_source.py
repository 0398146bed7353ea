"""
One fetch from the issuer: its discovery document, and the key set that it names, both over HTTPS.

`jwks` decides when to fetch, and what a failed fetch means.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from keywright import strict_json
from keywright.auth import rsa_key
from keywright.auth.rsa_key import IssuerKey
from keywright.compact_jws import is_kid
from keywright.keys.addresses import is_loopback

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 1024 * 1024
MAX_KEYS = 32
DEADLINE_SECONDS = 5.0

Fetched = TypeVar("Fetched")

_OK = 200
_DISCOVERY = ".well-known/openid-configuration"
_NO_PROXY = dict.fromkeys(("all://", "http://", "https://"))


class FetchFailed(Exception):
    """
    A fetch returned no key set.

    Args:
        code: The cause, stable: `timeout`, `network`, `status`, `encoding`, `too_large`, `not_json`,
            `issuer`, `jwks_uri`, `too_many_keys` or `no_usable_key`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class KeySource:
    """
    Fetches the documents of one issuer.

    Args:
        issuer: Its `https` address, or an `http` one on a loopback host.
        transport: The transport of the requests; by default the network, through the proxy of the environment.
        deadline: The most seconds for one fetch, all its requests together.

    Raises:
        ValueError: The issuer is another address.
    """

    def __init__(self, issuer: str, *, transport: "httpx.AsyncBaseTransport | None", deadline: float) -> None:
        local = is_on_this_machine(issuer)
        if not is_allowed(issuer, loopback=local):
            raise ValueError("the issuer must be an https address, or an http one on a loopback host")
        self._issuer = issuer
        self._base = issuer if issuer.endswith("/") else f"{issuer}/"
        self._loopback = local
        self._deadline = deadline
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def fetch(self) -> Mapping[str, IssuerKey]:
        """
        Fetch the current keys.

        Returns:
            The usable keys by `kid`, at least one.

        Raises:
            FetchFailed: The fetch failed, or took longer than the deadline.
        """
        return await self._in_time(self._fetch)

    async def metadata(self) -> dict[str, Any]:
        """
        Fetch the discovery document (OpenID Connect Discovery 1.0, section 3).

        Raises:
            FetchFailed: The fetch failed, or took longer than the deadline.
        """
        return await self._in_time(self._metadata)

    async def _in_time(self, fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
        if self._client is None:
            # httpx takes a tenth of a second to import, and loads rich; the service starts without it.
            await asyncio.to_thread(import_module, "httpx")
        import httpx

        try:
            async with asyncio.timeout(self._deadline):
                return await fetch()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FetchFailed("timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise FetchFailed("network") from error

    async def _fetch(self) -> Mapping[str, IssuerKey]:
        return read_key_set(await self._get(await self._key_set_address()))

    async def _metadata(self) -> dict[str, Any]:
        try:
            document = strict_json.read_object(await self._get(f"{self._base}{_DISCOVERY}"))
        except strict_json.NotStrict:
            raise FetchFailed("not_json") from None
        if document.get("issuer") != self._issuer:
            raise FetchFailed("issuer")
        return document

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    def _opened(self) -> "httpx.AsyncClient":
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport,
                timeout=self._deadline,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
                # A compressed body could expand to a thousand times the bytes that were counted.
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                # A proxy would not reach a loopback address of this host.
                mounts=_NO_PROXY if self._loopback else None,
            )
        return self._client

    async def _key_set_address(self) -> str:
        """Return the key set's address from the discovery document, or the usual address if there is no document."""
        default = f"{self._base}.well-known/jwks.json"
        try:
            document = strict_json.read_object(await self._get(f"{self._base}{_DISCOVERY}"))
        except strict_json.NotStrict:
            return default
        except FetchFailed as failure:
            if failure.code != "status":
                raise
            return default
        return self._advertised_address(document) or default

    def _advertised_address(self, document: dict[str, Any]) -> str | None:
        """Return the `jwks_uri` of a discovery document; None if the document is something else."""
        if "issuer" not in document and "jwks_uri" not in document:
            return None
        if document.get("issuer") != self._issuer:
            raise FetchFailed("issuer")
        address = document.get("jwks_uri")
        if not isinstance(address, str) or not is_allowed(address, loopback=self._loopback):
            raise FetchFailed("jwks_uri")
        return address

    async def _get(self, address: str) -> bytes:
        async with self._opened().stream("GET", address) as response:
            if response.status_code != _OK:
                raise FetchFailed("status")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchFailed("encoding")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise FetchFailed("too_large")
            return bytes(body)


def read_key_set(body: bytes) -> Mapping[str, IssuerKey]:
    """
    Read a JWK Set (RFC 7517, section 5).

    Unusable keys are ignored, as the RFC requires. A `kid` that appears twice is ignored, too: which of the two keys
    signed a token would be a guess.

    Raises:
        FetchFailed: The body is no key set, has more than 32 members, or no usable one.
    """
    try:
        members = strict_json.read_object(body).get("keys")
    except strict_json.NotStrict:
        raise FetchFailed("not_json") from None
    if not isinstance(members, list):
        raise FetchFailed("not_json")
    if len(members) > MAX_KEYS:
        raise FetchFailed("too_many_keys")
    named = [member for member in members if isinstance(member, dict) and is_kid(member.get("kid"))]
    times = Counter(member["kid"] for member in named)
    read = {member["kid"]: rsa_key.read(member) for member in named if times[member["kid"]] == 1}
    usable = {kid: key for kid, key in read.items() if key is not None}
    if not usable:
        raise FetchFailed("no_usable_key")
    return usable


def is_on_this_machine(address: str) -> bool:
    """Return whether the host of a URL is a loopback one; see `is_loopback`."""
    url = _read(address)
    return url is not None and url.hostname is not None and is_loopback(url.hostname)


def is_allowed(address: str, *, loopback: bool) -> bool:
    """Return whether a URL is https, or http on a loopback host for an issuer on a loopback host."""
    url = _read(address)
    if url is None or not url.hostname or "@" in url.netloc:
        return False
    return url.scheme == "https" or (url.scheme == "http" and loopback and is_on_this_machine(address))


def _read(address: str) -> SplitResult | None:
    """Split a URL; None if it is malformed, or has characters that `urlsplit` would drop."""
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError:
        return None
    return url if address.isprintable() and " " not in address else None
