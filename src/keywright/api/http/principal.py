"""
The principal of a request, read from its access token, and the origin of an event.

An operation names the permission that it needs in its signature: `principal: MayCreate`. This parameter stands first,
so nothing else of a request is read before the token was verified.
"""

import re
import string
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from keywright.api.http.problems import REALM, Refusal
from keywright.api.http.routing import Door, Input, InputReader, PathInput, Trust, header_values
from keywright.keys.addresses import client_address
from keywright.service.faults import Fault, PermissionMissing
from keywright.service.management.audit_log import Origin
from keywright.service.ports import Authenticator
from keywright.service.principal import CHANGES, ENDS, Permission, Principal

# RFC 6750, section 2.1: one space, then b64token. `auth` checks the token itself. A token is long: a pattern takes four
# times as long as a translation that leaves what is none of these characters; `?`, for all beyond ASCII, is left, too.
_OF_A_TOKEN = f"{string.ascii_letters}{string.digits}-._~+/".encode()
_SCHEME = "bearer"
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def bearer_of(authorization: Sequence[str]) -> str:
    """
    Take the token out of the one `Authorization` header.

    Args:
        authorization: The values of all headers of that name.

    Raises:
        Refusal: `missing_token` without a bearer token, `invalid_request` for two headers or a malformed one.
    """
    if len(authorization) > 1:
        raise _malformed("There is more than one Authorization header.")
    if not authorization or authorization[0][: len(_SCHEME)].lower() != _SCHEME:
        raise Refusal("missing_token", headers={"WWW-Authenticate": REALM})
    scheme, _, token = authorization[0].partition(" ")
    characters = token.rstrip("=").encode("ascii", "replace")
    if len(scheme) != len(_SCHEME) or not characters or characters.translate(None, _OF_A_TOKEN):
        raise _malformed("The Authorization header is not of the form Bearer <token>.")
    return token


class PrincipalInput(Input):
    """
    The bearer of an access token with a permission; any permission for None.

    `operate:api_keys` counts in a token of the operator's own organization only.

    Args:
        permission: The permission.
        changes: The permission whose bound on changes counts; None for none. By default the same permission.
    """

    def __init__(self, permission: Permission | None, *, changes: Permission | None = None) -> None:
        self.permission = permission
        self._changes = changes or permission
        self.codes = (
            *("invalid_request", "missing_token", "invalid_token"),
            *("organization_required", "organization_conflict", "insufficient_permission", "auth_unavailable"),
            "overloaded",
            *(("too_many_changes",) if self._changes in CHANGES else ()),
        )

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        recognize, permission = trust.door or _by_bearer(trust.authenticator), self.permission
        is_change, ends_a_key = self._changes in CHANGES, self._changes in ENDS

        async def read(request: Request) -> Principal:
            try:
                principal = await recognize(request)
            except (Refusal, Fault):
                note_source(request, trust)
                raise
            if permission is not None and not _may(principal, permission, trust):
                raise PermissionMissing(permission)
            request.scope["state"]["log"]["org"] = str(principal.organization.id)
            if is_change:
                trust.changes.take(principal.organization.id, ends_a_key=ends_a_key)
            return principal

        return InputReader(read)


def _by_bearer(authenticator: Authenticator) -> Door:
    async def recognize(request: Request) -> Principal:
        return await authenticator.authenticate(bearer_of(header_values(request, b"authorization")))

    return recognize


def _may(principal: Principal, permission: Permission, trust: Trust) -> bool:
    if permission is Permission.OPERATE:
        return principal.is_operator(trust.operator_org)
    return principal.may(permission)


def source_of(request: Request, trust: Trust) -> str | None:
    """Give the address of the caller; None where it is not known."""
    peer = request.scope.get("client")
    forwarded = header_values(request, b"x-forwarded-for") if trust.proxies else ()
    return client_address(peer and peer[0], forwarded, trust.proxies)


def note_source(request: Request, trust: Trust) -> None:
    """Note the address of a caller whose credential is refused, for the log line."""
    request.state.log["source"] = source_of(request, trust)


class OriginInput(Input):
    """The id of the request and the address of the caller, None where it is not known."""

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        def read(request: Request) -> Origin:
            return Origin(request_id=request.scope["state"]["request_id"], address=source_of(request, trust))

        return InputReader(read)


def _malformed(sentence: str) -> Refusal:
    return Refusal("invalid_request", sentence, headers={"WWW-Authenticate": f'{REALM}, error="invalid_request"'})


def _canonical_uuid(value: object) -> object:
    # pydantic also accepts braces, urn:uuid: and bare hexadecimal; then one key would have several paths.
    if isinstance(value, str) and not _CANONICAL_UUID.fullmatch(value):
        raise PydanticCustomError("uuid_parsing", "The id must be a UUID: 8-4-4-4-12 hexadecimal digits.")
    return value


CanonicalUuid = Annotated[UUID, BeforeValidator(_canonical_uuid)]
KeyId = Annotated[CanonicalUuid, PathInput()]
FromWhere = Annotated[Origin, OriginInput()]
AnyPrincipal = Annotated[Principal, PrincipalInput(None)]
MayCreate = Annotated[Principal, PrincipalInput(Permission.CREATE)]
MayRead = Annotated[Principal, PrincipalInput(Permission.READ)]
MayUpdate = Annotated[Principal, PrincipalInput(Permission.UPDATE)]
MayRevoke = Annotated[Principal, PrincipalInput(Permission.REVOKE)]
MayDelete = Annotated[Principal, PrincipalInput(Permission.DELETE)]
MayReadEvents = Annotated[Principal, PrincipalInput(Permission.READ_EVENTS)]
MayOperate = Annotated[Principal, PrincipalInput(Permission.OPERATE)]
MayOperateToAdd = Annotated[Principal, PrincipalInput(Permission.OPERATE, changes=Permission.CREATE)]
MayOperateToEnd = Annotated[Principal, PrincipalInput(Permission.OPERATE, changes=Permission.REVOKE)]
