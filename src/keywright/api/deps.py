"""
What routes ask for in their signatures: the principal, the use cases, where the request came from.

The guard of a route is a parameter: `principal: Annotated[Principal, allow(Permission.CREATE)]`. What a signature asks
for is read in its order (`operations`): the principal stands first, and no body is read before the token was checked.
"""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from keywright.api.bearer import bearer_of
from keywright.keys.addresses import client_address
from keywright.service.events import Origin
from keywright.service.faults import PermissionMissing
from keywright.service.management import Management
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission, Principal

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_bearer_scheme = HTTPBearer(
    scheme_name="BearerAuth",
    bearerFormat="JWT",
    description="A JWT access token from Auth0, for this API's audience.",
    auto_error=False,
)


def allow(permission: Permission) -> Any:
    """Give the dependency that lets only bearers of *permission* through, and tells who they are."""

    # The scheme is for the document alone.
    async def principal(request: Request, _documented: Annotated[Any, Security(_bearer_scheme)] = None) -> Principal:
        authenticator: Authenticator = request.app.state.authenticator
        found = await authenticator.authenticate(bearer_of(request.headers.getlist("authorization")))
        if not found.may(permission):
            raise PermissionMissing(permission)
        request.state.log["org"] = str(found.organization.id)
        return found

    return Depends(principal)


def _management(request: Request) -> Management:
    management: Management = request.app.state.management
    return management


def _origin(request: Request) -> Origin:
    return Origin(
        request_id=request.state.request_id,
        address=client_address(
            None if request.client is None else request.client.host,
            request.headers.getlist("x-forwarded-for"),
            request.app.state.trusted_proxies,
        ),
    )


def _canonical_uuid(value: object) -> object:
    # pydantic also reads braces, urn:uuid: and bare hexadecimal; one key has one path.
    if isinstance(value, str) and not _CANONICAL_UUID.fullmatch(value):
        raise PydanticCustomError("uuid_parsing", "The id must be a UUID: 8-4-4-4-12 hexadecimal digits.")
    return value


UseManagement = Annotated[Management, Depends(_management)]
FromWhere = Annotated[Origin, Depends(_origin)]
KeyId = Annotated[UUID, BeforeValidator(_canonical_uuid)]
MayCreate = Annotated[Principal, allow(Permission.CREATE)]
MayRead = Annotated[Principal, allow(Permission.READ)]
MayUpdate = Annotated[Principal, allow(Permission.UPDATE)]
MayRevoke = Annotated[Principal, allow(Permission.REVOKE)]
MayDelete = Annotated[Principal, allow(Permission.DELETE)]
MayReadEvents = Annotated[Principal, allow(Permission.READ_EVENTS)]
