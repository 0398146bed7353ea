"""
The wiring of the console: its page, its sign-in, and the operations of management behind its door.

Nothing of it is built before the first request for it, so that a start takes no longer.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from starlette.types import ASGIApp, Receive, Scope, Send

from keywright.api.http.problems import answer_to, note_fault
from keywright.api.http.routing import Routes, Trust
from keywright.auth.jwks import KeySet
from keywright.config import Settings
from keywright.console.application import API_PATHS, PATHS, SIGNED_OUT, Console
from keywright.console.assets import Assets
from keywright.console.cookies import Cookies
from keywright.console.door import PREFIX, ConsoleDoor
from keywright.console.pages import Pages
from keywright.console.ports import IdentityProvider
from keywright.console.sign_in_routes import SignInRoutes
from keywright.console.sign_ins import SignIns
from keywright.service.console_sessions import ConsoleSessions, ConsoleSessionStore
from keywright.service.ports import Authenticator, Clock, Entropy
from keywright.service.principal import CHANGES, Permission, PermissionPolicy

_IDENTITY = ("openid", "profile", "email")


def identity_provider(settings: Settings, key_set: KeySet, clock: Clock) -> Callable[[Authenticator], IdentityProvider]:
    """Give what builds the client of the issuer, once the console needs it."""

    def build(authenticator: Authenticator) -> IdentityProvider:
        from keywright.auth.authorization_code import AuthorizationCode, Client
        from keywright.auth.id_token import IdTokens

        client_id, secret = _client(settings)
        return AuthorizationCode(
            issuer=settings.issuer,
            client=Client(
                client_id=client_id,
                client_secret=secret,
                redirect_uri=f"{settings.public_url}/console/auth/callback",
                home=f"{settings.public_url}{SIGNED_OUT}",
                audience=settings.audience,
                scope=" ".join((*_IDENTITY, *_permissions(settings))),
                by_resource=settings.auth0_domain is None,
            ),
            id_tokens=IdTokens(issuer=settings.issuer, client_id=client_id, key_set=key_set, clock=clock),
            authenticator=authenticator,
        )

    return build


def console_applications(
    settings: Settings,
    groups: Sequence[object],
    trust: Trust,
    *,
    store: ConsoleSessionStore,
    clock: Clock,
    entropy: Entropy,
    provider: Callable[[Authenticator], IdentityProvider],
    element: Assets,
    version: str,
) -> list[tuple[re.Pattern[str], ASGIApp]]:
    """
    Give the applications of the console, with their paths.

    Args:
        settings: With a console.
        groups: The classes with the operations that are behind the door, too.
        trust: That of the bearer's door; the other one has the same bounds.
        store: Stores sessions.
        clock: The time.
        entropy: Gives cookies, states and nonces.
        provider: Builds the client of the issuer.
        element: The files of the element.
        version: The version of the package.
    """
    public_url, (_, secret) = settings.public_url or "", _client(settings)
    cookies = Cookies.at(public_url)
    sessions = ConsoleSessions(store, clock=clock, entropy=entropy)
    door = ConsoleDoor(cookies, sessions, trust.authenticator)

    def page() -> ASGIApp:
        pages = Pages(Assets("console", version), element, public_url=public_url)
        routes = SignInRoutes(
            public_url=public_url,
            provider=provider(trust.authenticator),
            sign_ins=SignIns(cookies, secret=secret, clock=clock, entropy=entropy),
            sessions=sessions,
            door=door,
            cookies=cookies,
            pages=pages,
            operator_org=settings.operator_org,
            note=lambda request, fault: note_fault(fault, request),
        )
        return Console(pages, routes.answers, answer_to)

    def api() -> ASGIApp:
        return Routes(groups, replace(trust, door=door), prefix=PREFIX)

    return [(PATHS, _Late(page)), (API_PATHS, _Late(api))]


class _Late:
    """An ASGI application that is built by its first request."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build

    @cached_property
    def _built(self) -> ASGIApp:
        return self._build()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._built(scope, receive, send)


def _client(settings: Settings) -> tuple[str, str]:
    secret = settings.console_client_secret
    return settings.console_client_id or "", "" if secret is None else secret.get_secret_value()


def _permissions(settings: Settings) -> list[str]:
    """Name the permissions to ask for; without `enforce` a token needs none, and some issuers refuse unknown ones."""
    if settings.permissions is not PermissionPolicy.ENFORCE:
        return []
    return sorted(CHANGES | {Permission.READ, Permission.READ_EVENTS})
