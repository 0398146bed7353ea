"""The port to the issuer, for sign-ins; `auth.authorization_code` implements it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from keywright.service.console_sessions import SignedIn


class IdentityProvider(Protocol):
    """Signs people in. An adapter promises every sentence written here."""

    async def authorization_url(self, *, state: str, nonce: str, verifier: str, extra: Mapping[str, str]) -> str:
        """
        Give the address at which a person signs in, with PKCE; *extra* are further parameters of it.

        Raises:
            AuthUnavailable: The issuer cannot be reached.
        """
        ...

    async def exchange(
        self, code: str, *, nonce: str, verifier: str, issuer: str | None, organization: str | None
    ) -> tuple[SignedIn, datetime]:
        """
        Exchange a code; give who signed in, and when the access token expires. All checks are made.

        Raises:
            SignInRefused: The issuer refused the code, or a check failed.
            OrganizationRequired: The access token names no organization.
            OrganizationConflict: Another organization owns the id that the access token claims.
            Unavailable: The issuer or the database cannot be reached.
        """
        ...

    async def end_session_url(self, id_token: str | None) -> str | None:
        """Give the address at which the session of the issuer itself ends; None where it has none."""
        ...
