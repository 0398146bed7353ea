"""`/openapi.json`: the document, rendered and compressed once, for everybody or for callers with an access token."""

import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from keywright.api.http.principal import AnyPrincipal
from keywright.api.http.routing import HeaderInput, operation

OPENAPI = "/openapi.json"
_WEIGHT = r"(?:;[ \t]*q=(?P<quality>[01](?:\.[0-9]{0,3})?)[ \t]*)?"
_GZIP = re.compile(rf"(?:^|,)[ \t]*(?:gzip|\*)[ \t]*{_WEIGHT}(?=,|$)", re.IGNORECASE)

OptionalHeader = Annotated[str | None, HeaderInput()]


class Rendered(NamedTuple):
    """The bytes of a document, plain and compressed, and its entity tag."""

    plain: bytes
    compressed: bytes
    etag: str

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Rendered":
        """Render a document."""
        plain = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(plain, gzip.compress(plain, mtime=0), f'"{sha256(plain).hexdigest()[:32]}"')

    def answer(self, accept_encoding: str | None, if_none_match: str | None) -> Response:
        """
        Answer a request for the document.

        Args:
            accept_encoding: The header; a client that names no gzip gets plain bytes.
            if_none_match: The header; a client that has this version gets 304.
        """
        headers = {"ETag": self.etag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
        if if_none_match is not None and self._matches(if_none_match):
            return Response(status_code=304, headers=headers)
        body = self.plain
        if accepts_gzip(accept_encoding):
            body, headers["Content-Encoding"] = self.compressed, "gzip"
        return Response(body, media_type="application/json", headers=headers)

    def _matches(self, if_none_match: str) -> bool:
        # A weak comparison; a proxy that compresses by itself makes the tag weak.
        tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
        return any(tag in ("*", self.etag) for tag in tags)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Tell whether a client accepts gzip (RFC 9110, section 12.5.3); the first element that names it decides."""
    match = None if accept_encoding is None else _GZIP.search(accept_encoding)
    return match is not None and float(match["quality"] or 1) > 0


class DocumentRoute:
    """
    `/openapi.json` for everybody.

    Args:
        make: Makes the document; called once.
    """

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._rendered = cache(lambda: Rendered.of(make()))

    async def _answer(self, accept_encoding: str | None, if_none_match: str | None) -> Response:
        # The first request renders it in a thread, because that takes as long as hundreds.
        rendered = await run_in_threadpool(self._rendered)
        return rendered.answer(accept_encoding, if_none_match)

    @operation("GET", OPENAPI)
    async def openapi(self, accept_encoding: OptionalHeader, if_none_match: OptionalHeader) -> Response:
        """Answer the document."""
        return await self._answer(accept_encoding, if_none_match)


class GuardedDocumentRoute(DocumentRoute):
    """`/openapi.json` for callers with an access token of any permission."""

    @operation("GET", OPENAPI)
    async def openapi_with_token(
        self, principal: AnyPrincipal, accept_encoding: OptionalHeader, if_none_match: OptionalHeader
    ) -> Response:
        """Answer the document."""
        return await self._answer(accept_encoding, if_none_match)


DOCUMENT_ROUTES: dict[Literal["on", "token"], type[DocumentRoute]] = {
    "on": DocumentRoute,
    "token": GuardedDocumentRoute,
}
"""The class for each value of `KEYWRIGHT_OPENAPI` but `off`."""
