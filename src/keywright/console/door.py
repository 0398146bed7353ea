"""
The door of the cookie: `/console/api/…`, for pages of the console and for nobody else.

A session's cookie counts here and nowhere else, and a bearer token counts everywhere else and not here. Behind the door
are the same operations; a session acts with the access token that it was begun with.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from keywright.console.cookies import Cookies
from keywright.service.console_sessions import ConsoleSessions, OpenSession
from keywright.service.faults import ForeignRequest, InvalidToken, SessionRequired
from keywright.service.ports import Authenticator
from keywright.service.principal import Principal

PREFIX: Final = "/console"
"""What the paths of the API begin with, behind this door."""

MARK: Final = "x-keywright-console"
"""A header that no page of another origin can send without asking first, which is refused."""


def require_own_page(headers: Headers) -> None:
    """
    Refuse what no page of the console has sent.

    `Sec-Fetch-Site` is written by the browser, and no script can change it. A sibling on the same site is foreign, too,
    and so is a request without the header: a cookie without a browser is nobody we know.

    Raises:
        ForeignRequest: The request has no mark, comes from another origin or from no browser, or has a bearer token.
    """
    if headers.getlist("sec-fetch-site") != ["same-origin"]:
        raise ForeignRequest("Sec-Fetch-Site is not same-origin.")
    if headers.getlist(MARK) != ["1"]:
        raise ForeignRequest("The header X-Keywright-Console is missing.")
    if "authorization" in headers:
        raise ForeignRequest("There is an Authorization header.")


class ConsoleDoor:
    """
    Gives the principal of a request by its session.

    Args:
        cookies: The names of cookies.
        sessions: The sessions.
        authenticator: Verifies the access tokens of sessions, with every request.
    """

    def __init__(self, cookies: Cookies, sessions: ConsoleSessions, authenticator: Authenticator) -> None:
        self._cookies = cookies
        self._sessions = sessions
        self._authenticator = authenticator

    async def __call__(self, request: Request) -> Principal:
        """
        Give the principal.

        Raises:
            ForeignRequest: See `require_own_page`.
            SessionRequired: There is no session, or it has ended.
        """
        _, principal = await self.entered(request)
        return principal

    async def entered(self, request: Request) -> tuple[OpenSession, Principal]:
        """Give the session with its principal; see `__call__`."""
        require_own_page(request.headers)
        cookie = self._cookies.session_of(request.headers.getlist("cookie"))
        session = None if cookie is None else await self._sessions.find(cookie)
        if cookie is None or session is None:
            raise SessionRequired
        try:
            return session, await self._authenticator.authenticate(session.who.access_token)
        except InvalidToken:
            # It has expired, or its signing key was withdrawn.
            await self._sessions.end(cookie)
            raise SessionRequired from None
