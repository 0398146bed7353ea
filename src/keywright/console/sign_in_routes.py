"""
`/console/auth/…`: sign-in, its callback, sign-out, and the question who is signed in.

`login` and `callback` are navigations, so they answer pages and redirects; they change nothing for the person who is
signed in already, until the issuer has answered. `session` and `logout` are requests of the page's script, behind the
same rules as the API.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from keywright.console.cookies import Cookies
from keywright.console.door import ConsoleDoor, require_own_page
from keywright.console.headers import NO_STORE
from keywright.console.pages import Message, Pages
from keywright.console.ports import IdentityProvider
from keywright.console.sign_ins import SignIn, SignIns, safe_return
from keywright.service.console_sessions import ConsoleSessions
from keywright.service.faults import (
    Fault,
    ForeignRequest,
    OrganizationConflict,
    OrganizationRequired,
    SessionRequired,
    SignInRefused,
    Unavailable,
)

PREFIX: Final = "/console/auth/"
_LONGEST = 255
_PASSED_ON = ("organization", "invitation")

Note = Callable[[Request, Fault], None]
"""Notes a fault for the log line of the request, and counts it."""


class SignInRoutes:
    """
    Answers the four paths.

    Args:
        public_url: The address of the service.
        provider: The issuer.
        sign_ins: Sign-ins under way.
        sessions: The sessions.
        door: Recognizes who is signed in.
        cookies: The names of cookies.
        pages: Writes the pages.
        operator_org: The organization of operators, as its issuer calls it; None where there are no operators.
        note: Notes refusals.
    """

    def __init__(
        self,
        *,
        public_url: str,
        provider: IdentityProvider,
        sign_ins: SignIns,
        sessions: ConsoleSessions,
        door: ConsoleDoor,
        cookies: Cookies,
        pages: Pages,
        operator_org: str | None,
        note: Note,
    ) -> None:
        self._public_url = public_url
        self._provider = provider
        self._sign_ins = sign_ins
        self._sessions = sessions
        self._door = door
        self._cookies = cookies
        self._pages = pages
        self._operator_org = operator_org
        self._note = note
        self.answers: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {
            f"{PREFIX}login": {"GET": self._as_page(self._login)},
            f"{PREFIX}callback": {"GET": self._as_page(self._callback)},
            f"{PREFIX}session": {"GET": self._session},
            f"{PREFIX}logout": {"POST": self._logout},
        }

    async def _login(self, request: Request) -> Response:
        """Send a person to the issuer."""
        sent = self._cookies.sign_ins_of(request.headers.getlist("cookie"))
        extra = {name: value for name in _PASSED_ON if (value := _parameter(request, name)) is not None}
        sign_in = self._sign_ins.begin(
            return_to=safe_return(request.query_params.get("return_to")),
            organization=extra.get("organization"),
            former=self._former(request),
        )
        url = await self._provider.authorization_url(
            state=sign_in.state, nonce=sign_in.nonce, verifier=sign_in.verifier, extra=extra
        )
        return _redirect(url, self._sign_ins.set_cookies(sign_in, sent))

    async def _callback(self, request: Request) -> Response:
        """Take what the issuer sends back: begin a session of its own, and return to the console."""
        state = request.query_params.get("state", "")
        sign_in = self._sign_ins.find(state, self._cookies.sign_ins_of(request.headers.getlist("cookie")))
        if sign_in is None:
            raise SignInRefused("This browser has begun no such sign-in, or too long ago.")
        forget = self._sign_ins.forget(sign_in.state)
        try:
            cookie = await self._begin(request, sign_in)
        except Fault as fault:
            return self._refused(request, fault, [forget])
        return _redirect(
            f"{self._public_url}{_signed_in(sign_in.return_to)}", [self._cookies.set_session(cookie), forget]
        )

    async def _begin(self, request: Request, sign_in: SignIn) -> str:
        code = request.query_params.get("code")
        if code is None or "error" in request.query_params:
            raise SignInRefused("The issuer sent no code.")
        who, expires_at = await self._provider.exchange(
            code,
            nonce=sign_in.nonce,
            verifier=sign_in.verifier,
            issuer=request.query_params.get("iss"),
            organization=sign_in.organization,
        )
        former = None if sign_in.former is None else bytes.fromhex(sign_in.former)
        return await self._sessions.begin(who, token_expires_at=expires_at, former=former)

    async def _session(self, request: Request) -> Response:
        """Say who is signed in; nobody is no error."""
        try:
            session, principal = await self._door.entered(request)
        except SessionRequired:
            return _json({"signed_in": False})
        return _json(
            {
                "signed_in": True,
                "name": session.who.name,
                "subject": principal.subject,
                "organization": session.who.organization,
                "organization_id": str(principal.organization.id),
                "operates": principal.is_operator(self._operator_org),
                "expires_at": session.expires_at.isoformat(),
            }
        )

    async def _logout(self, request: Request) -> Response:
        """End all sessions of the person, and say where that of the issuer ends."""
        require_own_page(request.headers)
        cookie = self._cookies.session_of(request.headers.getlist("cookie"))
        who = None if cookie is None else await self._sessions.end_all(cookie)
        location = await self._provider.end_session_url(None if who is None else who.id_token)
        answer = _json({"location": location}, [self._cookies.remove(self._cookies.session)])
        # Not "cookies": those of the whole domain would go, of other hosts, too.
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    def _former(self, request: Request) -> bytes | None:
        # Read here: the callback comes from another site, and gets no Strict cookie.
        cookie = self._cookies.session_of(request.headers.getlist("cookie"))
        return None if cookie is None else self._sessions.digest_of(cookie)

    def _as_page(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            try:
                _require_navigation(request)
                return await answer(request)
            except Fault as fault:
                return self._refused(request, fault)

        return answered

    def _refused(self, request: Request, fault: Fault, cookies: Iterable[str] = ()) -> Response:
        self._note(request, fault)
        answer = self._pages.message(_message(fault), request_id=request.state.request_id)
        return _with(answer, cookies)


def _require_navigation(request: Request) -> None:
    """Refuse images, frames and scripts that would begin a sign-in behind a person's back."""
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise ForeignRequest("Sec-Fetch-Dest is not document.")


def _message(fault: Fault) -> Message:
    if isinstance(fault, OrganizationRequired):
        return Message.NO_ORGANIZATION
    if isinstance(fault, OrganizationConflict):
        return Message.CONFLICT
    return Message.UNAVAILABLE if isinstance(fault, Unavailable) else Message.REFUSED


def _parameter(request: Request, name: str) -> str | None:
    value = request.query_params.get(name, "")
    return value if 0 < len(value) <= _LONGEST and value.isprintable() else None


def _signed_in(return_to: str) -> str:
    """Tell the page that a session was begun: where it finds none then, the browser keeps no cookies."""
    path, mark, fragment = return_to.partition("#")
    return f"{path}?signed-in{mark}{fragment}"


def _json(content: dict[str, object], cookies: Iterable[str] = ()) -> Response:
    return _with(Response(json.dumps(content), media_type="application/json", headers=dict(NO_STORE)), cookies)


def _redirect(url: str, cookies: Iterable[str]) -> Response:
    return _with(Response(status_code=303, headers={"Location": url, **NO_STORE}), cookies)


def _with(response: Response, cookies: Iterable[str]) -> Response:
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie)
    return response
