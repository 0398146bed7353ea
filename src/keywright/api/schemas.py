"""The shapes of the HTTP contract, version 2: what a client may send and what it gets."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from keywright.keys.record import (
    DESCRIPTION_MAX,
    DESCRIPTION_PATTERN,
    NAME_MAX,
    NAME_PATTERN,
    ApiKey,
    flaw_in_description,
    flaw_in_name,
)
from keywright.service.management import Created

_EXAMPLE: dict[str, Any] = {
    "id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
    "org_id": "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21",
    "name": "Billing export",
    "description": "Nightly job",
    "environment": "live",
    "public_key": "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui",
    "private_key_display": "kw_sk_live_...9rwP",
    "created_at": "2026-11-23T21:48:05.120340Z",
    "expires_at": None,
    "is_revoked": False,
    "revoked_at": None,
    "last_used_at": None,
}


def _checked_name(name: str) -> str:
    return _raise_flaw(name, flaw_in_name(name))


def _checked_description(description: str) -> str:
    return _raise_flaw(description, flaw_in_description(description))


def _raise_flaw(text: str, flaw: str | None) -> str:
    if flaw is not None:
        raise PydanticCustomError("characters_not_allowed", "{flaw}", {"flaw": flaw})
    return text


class CreateApiKeyRequestV2(BaseModel):
    """What a new key is called."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Billing export", "description": "Nightly job"}]},
    )

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=NAME_MAX,
            description="A user-friendly name for the API key",
            json_schema_extra={"pattern": NAME_PATTERN},
        ),
        AfterValidator(_checked_name),
    ]
    description: Annotated[
        Annotated[
            str,
            Field(max_length=DESCRIPTION_MAX, json_schema_extra={"pattern": DESCRIPTION_PATTERN}),
            AfterValidator(_checked_description),
        ]
        | None,
        Field(description="What the key is for"),
    ] = None


class ApiKeyResponse(BaseModel):
    """An API key, without its private half."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    org_id: UUID = Field(description="The organization the key belongs to")
    name: str
    description: str | None
    environment: str | None = Field(description="`live`, `sandbox`, …")
    public_key: str = Field(description="The Ed25519 public key of the pair")
    private_key_display: str = Field(description="The private key, masked; safe to show and to log")
    created_at: datetime
    expires_at: datetime | None
    is_revoked: bool
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def fields_of(cls, key: ApiKey) -> dict[str, Any]:
        """Say *key* in the contract's words."""
        return {
            "id": key.id,
            "org_id": key.org_id,
            "name": key.name,
            "description": key.description,
            "environment": key.environment,
            "public_key": key.secret.public_key.text,
            "private_key_display": key.secret.display,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "is_revoked": key.revoked_at is not None,
            "revoked_at": key.revoked_at,
            "last_used_at": key.secret.last_used_at,
        }


class CreatedApiKeyResponse(ApiKeyResponse):
    """A new API key, with its private half, which is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**_EXAMPLE, "private_key": "kw_sk_live_00000000000000000000000000000000000000000000x9rwP"},
            ]
        },
    )

    private_key: str = Field(description="The private key for authentication; in this answer only")

    @classmethod
    def fields_of_created(cls, created: Created) -> dict[str, Any]:
        """Say a new key in the contract's words. The one place where a private key leaves the service."""
        return {**cls.fields_of(created.api_key), "private_key": created.private_key.reveal()}


class FieldFlaw(BaseModel):
    """One flaw of a body or parameter."""

    loc: list[str | int] = Field(description="Where: `body`, `query` or `path`, then the field")
    msg: str
    type: str = Field(description="A stable word for the flaw")


class ErrorResponse(BaseModel):
    """An answer that is not the wished-for one."""

    detail: str | list[FieldFlaw] = Field(description="A sentence; for 422 the list of flaws")
    code: str = Field(description="Stable, for programs")
    request_id: str = Field(description="Finds the request in the service's log")


class ProblemResponse(BaseModel):
    """The same answer as RFC 9457 has it, for `Accept: application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldFlaw] | None = None
