"""The bodies and queries of the operator's requests."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from keywright.api.http.paging import PageQuery
from keywright.api.http.principal import CanonicalUuid
from keywright.api.keys.events import EventsQuery
from keywright.api.keys.requests import ExternalId, Subject
from keywright.api.keys.routes import FilterQuery
from keywright.keys.record import RevocationReason
from keywright.service.operator.ports import Target
from keywright.service.verifiers import flaw_in_verifier_name

# Longer than any key with white space around it.
_MOST_SEARCHED = 500


def _checked_name(name: str) -> str:
    flaw = flaw_in_verifier_name(name)
    if flaw is not None:
        raise PydanticCustomError("name_malformed", "{flaw}", {"flaw": flaw})
    return name


VerifierName = Annotated[str, AfterValidator(_checked_name)]


class OperatorListQuery(FilterQuery):
    """The parameters of the list of keys of all organizations."""

    org_id: CanonicalUuid | None = Field(default=None, description="Keys of this organization only")


class OperatorEventsQuery(EventsQuery):
    """The parameters of the audit log of all organizations."""

    org_id: CanonicalUuid | None = Field(default=None, description="Events of this organization only")


class OrganizationsQuery(PageQuery):
    """The parameters of the list of organizations."""

    external_id: ExternalId | None = Field(
        default=None, description="The one organization that the operator's issuer calls so"
    )


class FindApiKeyRequest(BaseModel):
    """A text that belongs to one key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"text": "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui"}]},
    )

    text: str = Field(
        min_length=1,
        max_length=_MOST_SEARCHED,
        description="A key's id, or the text of a public or private key, of a pair that has ended, too. A private key "
        "is hashed at once, and neither stored nor logged",
    )


class BulkRevocationRequest(BaseModel):
    """Whose keys to revoke, and why."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"created_by": "auth0|6543210fedcba", "reason": "key_compromise"}]},
    )

    org_id: Annotated[
        CanonicalUuid | None, Field(strict=False, description="Keys of this organization; of all without it")
    ] = None
    created_by: Annotated[
        Subject | None, Field(description="Keys that this token subject created; of everybody without it")
    ] = None
    reason: RevocationReason = Field(default=RevocationReason.UNSPECIFIED, strict=False)

    @model_validator(mode="after")
    def _require_a_target(self) -> Self:
        if self.org_id is None and self.created_by is None:
            raise PydanticCustomError("target_required", "Give org_id, created_by or both.")
        return self

    @property
    def target(self) -> Target:
        """The target of the use case."""
        return Target(org_id=self.org_id, created_by=self.created_by)


class CreateVerifierRequest(BaseModel):
    """The name of a new verifier."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"name": "billing-api-1"}]})

    name: VerifierName = Field(description="1 to 64 letters, digits, dots, underscores and hyphens; not one in use")
