"""
What routes ask for in their signatures: the principal, the use cases, where the request came from.

The guard of a route is a parameter: `principal: Annotated[Principal, allow(Permission.CREATE)]`. FastAPI resolves
parameters in the order of the signature: the principal stands first, and no body is read before the token was checked.
"""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from keywright.api import client_address
from keywright.api.problems import REALM, Refusal
from keywright.service.events import Origin
from keywright.service.faults import PermissionMissing
from keywright.service.management import Management
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission, Principal

# RFC 6750, section 2.1: one space, then b64token. What the token itself must look like is the authenticator's business.
_BEARER = re.compile(r"bearer ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_bearer_scheme = HTTPBearer(
    scheme_name="BearerAuth",
    bearerFormat="JWT",
    description="A JWT access token from Auth0, for this API's audience.",
    auto_error=False,
)


def allow(permission: Permission) -> Any:
    """Give the dependency that lets only bearers of *permission* through, and tells who they are."""

    async def principal(request: Request, _documented: Annotated[Any, Security(_bearer_scheme)]) -> Principal:
        authenticator: Authenticator = request.app.state.authenticator
        found = await authenticator.authenticate(bearer_token(request))
        if not found.may(permission):
            raise PermissionMissing(permission)
        request.state.log["org"] = str(found.organization.id)
        return found

    return Depends(principal)


def bearer_token(request: Request) -> str:
    """
    Take the token out of the one `Authorization` header.

    Raises:
        Refusal: `missing_token` without a bearer token, `invalid_request` for two headers or a malformed one.
    """
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise _malformed("There is more than one Authorization header.")
    if not values or not values[0].lower().startswith("bearer"):
        raise Refusal("missing_token", headers={"WWW-Authenticate": REALM})
    match = _BEARER.fullmatch(values[0])
    if match is None:
        raise _malformed("The Authorization header is not of the form Bearer <token>.")
    return match[1]


def _malformed(sentence: str) -> Refusal:
    return Refusal("invalid_request", sentence, headers={"WWW-Authenticate": f'{REALM}, error="invalid_request"'})


# Dependencies are coroutines throughout: FastAPI sends plain functions to a thread.


async def _management(request: Request) -> Management:
    management: Management = request.app.state.management
    return management


async def _origin(request: Request) -> Origin:
    return Origin(
        request_id=request.state.request_id,
        address=client_address.of(request.scope, trusted=request.app.state.trusted_proxies),
    )


def _canonical_uuid(value: object) -> object:
    # pydantic also reads braces, urn:uuid: and bare hexadecimal; one key has one path.
    if isinstance(value, str) and not _CANONICAL_UUID.fullmatch(value):
        raise PydanticCustomError("uuid_parsing", "The id must be a UUID: 8-4-4-4-12 hexadecimal digits.")
    return value


UseManagement = Annotated[Management, Depends(_management)]
FromWhere = Annotated[Origin, Depends(_origin)]
KeyId = Annotated[UUID, BeforeValidator(_canonical_uuid)]
