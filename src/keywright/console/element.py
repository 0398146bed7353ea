"""
`/element/…`: the files of the element, for pages of any origin.

`/element/v1/keywright-keys.js` redirects to the versioned path, which browsers may keep for a year. The modules import
each other by relative paths, so a page that began with one version stays with it.
"""

import re
from collections.abc import Iterable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from keywright.console.assets import Asset, Assets

PATHS = re.compile(r"/element/.+")
ENTRY = "keywright-keys.js"
STABLE_PATH = f"/element/v1/{ENTRY}"
ROUTE = "/element/{path}"

# The files are the same for everybody, and no cookie is read.
_OPEN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_FOREVER = "public, max-age=31536000, immutable"
_MOMENT = "public, max-age=300"
_WEIGHT = r"(?:;[ \t]*q=(?P<quality>[01](?:\.[0-9]{0,3})?)[ \t]*)?"
_GZIP = re.compile(rf"(?:^|,)[ \t]*(?:gzip|\*)[ \t]*{_WEIGHT}(?=,|$)", re.IGNORECASE)


class ElementFiles:
    """
    The ASGI application of `PATHS`.

    Args:
        assets: The files.
    """

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope.setdefault("state", {})["route"] = ROUTE
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"Allow": "GET, HEAD", **_OPEN})
        # The first request reads and compresses all files.
        version = await run_in_threadpool(lambda: self._assets.version)
        if scope["path"] == STABLE_PATH:
            headers = {"Cache-Control": _MOMENT, **_OPEN}
            return RedirectResponse(f"../{version}/{ENTRY}", 307, headers)
        asset = self._assets.by_path.get(scope["path"].removeprefix(f"/element/{version}/"))
        if asset is None:
            return Response(status_code=404, headers={"Cache-Control": "no-store", **_OPEN})
        return answer(asset, Headers(scope=scope), {"Cache-Control": _FOREVER, **_OPEN})


def answer(asset: Asset, request: Headers, headers: dict[str, str]) -> Response:
    """
    Answer a file.

    Args:
        asset: The file.
        request: The headers of the request; a client that has this content gets 304, one that accepts gzip gets it.
        headers: Further headers of the answer.
    """
    headers = {"ETag": asset.etag, "Vary": "Accept-Encoding", **headers}
    if _has(asset, request.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    body = asset.plain
    if _accepts_gzip(request.get("accept-encoding", "")):
        body, headers["Content-Encoding"] = asset.compressed, "gzip"
    # `media_type` would add a charset to some types.
    return Response(body, headers={"Content-Type": asset.media_type, **headers})


def _has(asset: Asset, if_none_match: Iterable[str]) -> bool:
    # A weak comparison; a proxy that compresses by itself makes the tag weak.
    tags = (tag.strip().removeprefix("W/") for value in if_none_match for tag in value.split(","))
    return any(tag in ("*", asset.etag) for tag in tags)


def _accepts_gzip(accept_encoding: str) -> bool:
    match = _GZIP.search(accept_encoding)
    return match is not None and float(match["quality"] or 1) > 0
