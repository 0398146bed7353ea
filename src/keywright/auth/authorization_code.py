"""
Sign-in by authorization code with PKCE (RFC 6749, RFC 7636), as a confidential client.

Authlib writes the address and exchanges the code. All checks of what comes back are ours: `id_token` and the
authenticator of access tokens. Implements `console.ports.IdentityProvider`.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from keywright import compact_jws
from keywright.auth.id_token import IdTokens
from keywright.auth.key_source import DEADLINE_SECONDS, FetchFailed, KeySource, is_allowed, is_on_this_machine
from keywright.service.console_sessions import SignedIn
from keywright.service.faults import AuthUnavailable, InvalidToken, SignInRefused
from keywright.service.ports import Authenticator
from keywright.service.principal import Principal

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

FRESH_SECONDS = 600
EXCHANGE_SECONDS = 10.0
_LIBRARY = "authlib.integrations.httpx_client"
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^#\s]+")
_NAMES = ("name", "email", "preferred_username", "nickname")
_MOST_OF_NAME = 100


class Endpoints(NamedTuple):
    """Addresses of the issuer; `names_itself` where its answers must have `iss` (RFC 9207)."""

    authorization: str
    token: str
    end_session: str | None
    names_itself: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """
    The console, as the issuer knows it.

    Args:
        client_id: Its id.
        client_secret: Its secret.
        redirect_uri: The address of the callback.
        home: The address to which the issuer may send a person who has signed out.
        audience: The API for which access tokens are asked.
        scope: The scopes that are asked for, with spaces between them.
        by_resource: Whether the audience is also sent as `resource` (RFC 8707); Auth0 needs `audience` alone.
    """

    client_id: str
    client_secret: str
    redirect_uri: str
    home: str
    audience: str
    scope: str
    by_resource: bool


class AuthorizationCode:
    """
    The issuer, for sign-ins.

    Args:
        issuer: Its address, as in `iss`.
        client: The console.
        id_tokens: Verifies ID tokens.
        authenticator: Verifies access tokens.
        monotonic: Seconds that never go backwards.
    """

    def __init__(
        self,
        *,
        issuer: str,
        client: Client,
        id_tokens: IdTokens,
        authenticator: Authenticator,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._is_local = is_on_this_machine(issuer)
        self._client = client
        self._id_tokens = id_tokens
        self._authenticator = authenticator
        self._monotonic = monotonic
        self._source = KeySource(issuer, transport=None, deadline=DEADLINE_SECONDS)
        self._endpoints: tuple[Endpoints, float] | None = None

    async def authorization_url(self, *, state: str, nonce: str, verifier: str, extra: Mapping[str, str]) -> str:
        """
        Give the address at which a person signs in.

        Args:
            state: Comes back with the code.
            nonce: Comes back in the ID token.
            verifier: The secret of PKCE, 43 to 128 characters.
            extra: Further parameters, such as `organization`.

        Raises:
            AuthUnavailable: The issuer's discovery document cannot be read.
        """
        endpoints = await self._found()
        more = {"audience": self._client.audience, "nonce": nonce, **self._resource(), **extra}
        async with await self._opened() as client:
            url, _ = client.create_authorization_url(
                endpoints.authorization, state=state, code_verifier=verifier, **more
            )
        return str(url)

    async def exchange(
        self, code: str, *, nonce: str, verifier: str, issuer: str | None, organization: str | None
    ) -> tuple[SignedIn, datetime]:
        """
        Exchange a code, and check both tokens.

        Args:
            code: The code of the callback.
            nonce: That of the request.
            verifier: That of the request.
            issuer: The `iss` of the callback, if any (RFC 9207).
            organization: The organization that the request asked for, by its id or name; None for any.

        Returns:
            Who signed in, and when the access token expires.

        Raises:
            SignInRefused: The issuer refused the code, or a check failed.
            AuthUnavailable: The issuer cannot be reached, or its signing keys are not known.
            StorageUnavailable: The organization cannot be looked up.
        """
        endpoints = await self._found()
        if issuer != (self._issuer if issuer is not None or endpoints.names_itself else None):
            raise SignInRefused("The code is from another issuer.")
        tokens = await self._exchanged(endpoints, code, verifier)
        access_token, id_token = tokens.get("access_token"), tokens.get("id_token")
        if not isinstance(access_token, str) or not isinstance(id_token, str):
            raise SignInRefused("The issuer sent no access token, or no ID token.")
        try:
            claims = await self._id_tokens.verify(id_token, nonce=nonce, access_token=access_token)
            principal = await self._authenticator.authenticate(access_token)
        except InvalidToken as refused:
            raise SignInRefused(refused.reason) from refused
        _check_same(principal, claims, organization)
        return self._signed_in(principal, claims, access_token, id_token), _expiry(access_token)

    async def end_session_url(self, id_token: str | None) -> str | None:
        """
        Give the address at which the session of the issuer itself ends; None where it has none.

        Args:
            id_token: The last ID token of the session, if it is known.
        """
        try:
            endpoint = (await self._found()).end_session
        except AuthUnavailable:
            # The sessions here have ended all the same.
            return None
        home, client_id = self._client.home, self._client.client_id
        if endpoint is None:
            if not (urlsplit(self._issuer).hostname or "").endswith(".auth0.com"):
                return None
            # Auth0 names its endpoint in the document only where RP-initiated logout is switched on.
            return f"{self._issuer}v2/logout?{urlencode({'client_id': client_id, 'returnTo': home})}"
        parameters = {"client_id": client_id, "post_logout_redirect_uri": home}
        hint = {} if id_token is None else {"id_token_hint": id_token}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode({**parameters, **hint})}"

    async def close(self) -> None:
        """Close the connections."""
        await self._source.close()

    async def _exchanged(self, endpoints: Endpoints, code: str, verifier: str) -> Mapping[str, Any]:
        client = await self._opened()
        from authlib.integrations.base_client import OAuthError
        from httpx2 import HTTPError, InvalidURL

        form = {"code": code, "code_verifier": verifier, **self._resource()}
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS), client:
                tokens: Mapping[str, Any] = await client.fetch_token(
                    endpoints.token, grant_type="authorization_code", redirect_uri=client.redirect_uri, **form
                )
        except OAuthError as error:
            raise SignInRefused(f"The issuer refused the code: {_shown(error.error)}.") from None
        except (TimeoutError, HTTPError, InvalidURL, OSError) as error:
            raise AuthUnavailable(f"the token endpoint failed: {type(error).__name__}") from None
        except ValueError:
            raise AuthUnavailable("the token endpoint answered something else than JSON") from None
        return tokens

    async def _opened(self) -> "AsyncOAuth2Client":
        # Imported with the first sign-in: it takes longer than the rest of the start.
        library = await asyncio.to_thread(import_module, _LIBRARY)
        client: AsyncOAuth2Client = library.AsyncOAuth2Client(
            self._client.client_id,
            self._client.client_secret,
            scope=self._client.scope,
            redirect_uri=self._client.redirect_uri,
            code_challenge_method="S256",
            timeout=EXCHANGE_SECONDS,
            follow_redirects=False,
            # A proxy would not reach a loopback address of this host.
            trust_env=not self._is_local,
        )
        return client

    def _resource(self) -> dict[str, str]:
        audience = self._client.audience
        return {"resource": audience} if self._client.by_resource and _ABSOLUTE_URI.fullmatch(audience) else {}

    async def _found(self) -> Endpoints:
        now = self._monotonic()
        if self._endpoints is None or now >= self._endpoints[1] + FRESH_SECONDS:
            try:
                self._endpoints = self._read(await self._source.metadata()), now
            except FetchFailed as failure:
                raise AuthUnavailable(f"the discovery document could not be fetched: {failure.code}") from failure
        return self._endpoints[0]

    def _read(self, document: Mapping[str, Any]) -> Endpoints:
        authorization, token, end_session = (
            self._address(document.get(f"{name}_endpoint")) for name in ("authorization", "token", "end_session")
        )
        if authorization is None or token is None:
            raise AuthUnavailable("the discovery document names no endpoints for sign-ins")
        names_itself = document.get("authorization_response_iss_parameter_supported") is True
        return Endpoints(authorization, token, end_session, names_itself)

    def _address(self, found: object) -> str | None:
        return found if isinstance(found, str) and is_allowed(found, loopback=self._is_local) else None

    def _signed_in(self, principal: Principal, claims: Mapping[str, Any], access_token: str, id_token: str) -> SignedIn:
        return SignedIn(
            issuer=self._issuer,
            subject=principal.subject,
            name=_first(claims, _NAMES) or principal.subject,
            organization=_first(claims, ("org_name",)) or principal.organization.external_id,
            access_token=access_token,
            id_token=id_token,
        )


def _first(claims: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Give the first of some claims that is a text with something in it."""
    found = (claims[name] for name in names if isinstance(claims.get(name), str) and claims[name].strip())
    return next((text[:_MOST_OF_NAME] for text in found), None)


def _check_same(principal: Principal, claims: Mapping[str, Any], organization: str | None) -> None:
    if claims["sub"] != principal.subject:
        raise SignInRefused("The two tokens have different subjects.")
    if organization not in (None, principal.organization.external_id, claims.get("org_id"), claims.get("org_name")):
        raise SignInRefused("The sign-in is for another organization than was asked for.")


def _expiry(access_token: str) -> datetime:
    """Read `exp` of a verified access token."""
    payload = compact_jws.decode_base64url(access_token.split(".")[1].encode()) or b""
    return datetime.fromtimestamp(compact_jws.read_json(payload, "payload")["exp"], UTC)


def _shown(error: object) -> str:
    # A code of RFC 6749, section 5.2; other text of the issuer stays out of the log.
    return error if isinstance(error, str) and re.fullmatch(r"[a-z_]{1,40}", error) else "no known code"
