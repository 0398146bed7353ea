"""The ASGI application of `/console`: the shell, its files, and sign-ins. The API behind the cookie is beside it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from keywright.console.element import answer
from keywright.console.headers import NO_STORE, SHUT
from keywright.console.pages import FILES, Pages

PATHS: Final = re.compile(r"/console(/(?!api/).*)?")
API_PATHS: Final = re.compile(r"/console/api/.*")
OPERATOR: Final = "/console/operator"
"""The page of operators."""

SIGNED_OUT: Final = "/console/signed-out"
"""Where the issuer sends a person who has signed out: the same page, which then begins no new sign-in."""

_FOREVER = "private, max-age=31536000, immutable"

Answer = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Exception, Request], Response]
"""Writes the answer for an error."""


class Console:
    """
    Answers `PATHS`.

    Args:
        pages: Writes the pages.
        answers: By path and method, what else is answered.
        refuse: Writes the answer for an error.
    """

    def __init__(self, pages: Pages, answers: Mapping[str, Mapping[str, Answer]], refuse: Refuse) -> None:
        self._pages = pages
        self._answers: dict[str, Mapping[str, Answer]] = {
            "/console": {"GET": self._shell("index.html")},
            "/console/": {"GET": _without_slash},
            OPERATOR: {"GET": self._shell("operator.html")},
            SIGNED_OUT: {"GET": self._shell("index.html")},
            **answers,
        }
        self._of_files: Mapping[str, Answer] = {"GET": self._file}
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer
            response = self._refuse(error, request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]
        found = self._answers.get(path, self._of_files)
        request.state.route = path if path in self._answers else f"/{FILES}/{{path}}"
        method = "GET" if request.method == "HEAD" else request.method
        if method not in found:
            return Response(status_code=405, headers={"Allow": ", ".join(found), **NO_STORE})
        # The first request reads and compresses all files.
        await run_in_threadpool(lambda: self._pages.version)
        return await found[method](request)

    def _shell(self, name: str) -> Answer:
        async def answered(request: Request) -> Response:
            return self._pages.shell(name, request.headers)

        return answered

    async def _file(self, request: Request) -> Response:
        asset = self._pages.file(request.scope["path"].removeprefix(f"/{FILES}/{self._pages.version}/"))
        if asset is None:
            return Response(status_code=404, headers=dict(NO_STORE))
        return answer(asset, request.headers, {"Cache-Control": _FOREVER, **SHUT})


async def _without_slash(_request: Request) -> Response:
    return RedirectResponse("../console", 308, dict(NO_STORE))
