"""
`/docs`: the OpenAPI document as a page on which calls can be tried, and the files of that page.

A large script of others renders it. So the page has a policy with `sandbox` and without `allow-same-origin`: it has an
origin of its own, which browsers send as `null`. It cannot read cookies or storage of the service's origin, and its
requests carry no cookie. `cross_origin` lets it call the API.
"""

import json
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from keywright.console.assets import Asset, Assets
from keywright.console.element import answer

PATHS = re.compile(r"/docs(?:/.*)?")
PAGE = "/docs"
ROUTE = "/docs/{path}"

POLICY = (
    "sandbox allow-scripts allow-forms allow-downloads; default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_FOREVER = "public, max-age=31536000, immutable"


class ReferencePage:
    """
    The ASGI application of `PATHS`.

    Args:
        assets: The files of the folder `docs`.
        make: Makes the OpenAPI document; called once.
    """

    def __init__(self, assets: Assets, make: Callable[[], dict[str, Any]]) -> None:
        self._assets = assets
        self._make = make

    @cached_property
    def _page(self) -> Asset:
        # In a script element, "</script>" and "<!--" would end or change it.
        text = json.dumps(self._make(), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        page = self._assets.by_path["page.html"].plain.decode().replace("{folder}", f"docs/{self._assets.version}")
        return Asset.of("page.html", page.replace("{document}", text).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope.setdefault("state", {})["route"] = PAGE if scope["path"] == PAGE else ROUTE
        await (await self._answer(scope))(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"Allow": "GET, HEAD"})
        path = scope["path"].removeprefix(PAGE)
        if path == "/":
            return RedirectResponse("../docs", 307)
        # The first request reads and compresses all files.
        if not path:
            return answer(await run_in_threadpool(lambda: self._page), Headers(scope=scope), _PAGE_HEADERS)
        version = await run_in_threadpool(lambda: self._assets.version)
        asset = self._assets.by_path.get(path.removeprefix(f"/{version}/"))
        if asset is None or asset.media_type.startswith("text/html"):
            return Response(status_code=404, headers={"Cache-Control": "no-store"})
        return answer(asset, Headers(scope=scope), {"Cache-Control": _FOREVER})
