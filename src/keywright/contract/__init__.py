"""
The HTTP contract: the shape of every answer, as a frozen dataclass with the name of its schema.

The API writes its answers from these classes, the OpenAPI document describes them, the client reads answers into them,
and the command line prints them. The members of a class stand in the order in which they are written. A member with a
default may be absent; all others are always present.

`codec` writes and reads them, `schema` describes them. Knows `keywright.keys` and msgspec; no framework.
"""

from keywright.contract.api_keys import (
    ApiKeyResponse,
    CreatedApiKeyResponse,
    RateLimitResponse,
    SecretResponse,
    UsedApiKeyResponse,
)
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.contract.codec import ContractError, read, written
from keywright.contract.errors import ErrorResponse, FieldError, ProblemResponse
from keywright.contract.feed import FeedBeat, FeedDrop, FeedHello, FeedReset
from keywright.contract.figures import (
    ConnectedSessionResponse,
    DelayResponse,
    ExpiringKeysResponse,
    KeyFiguresResponse,
    KeyStatesResponse,
    RevocationFiguresResponse,
    TopFiguresResponse,
    UnusedKeysResponse,
    UsedKeyResponse,
    UsedOrganizationResponse,
    VerdictCountsResponse,
    VerdictFiguresResponse,
    VerifierFiguresResponse,
)
from keywright.contract.operator import (
    BulkRevocationResponse,
    CreatedVerifierResponse,
    FoundApiKeyResponse,
    FoundPairResponse,
    NamedRevocationResponse,
    NamedSessionResponse,
    OrganizationEventResponse,
    OrganizationResponse,
    VerifierResponse,
)
from keywright.contract.options import OptionsResponse, PolicyResponse, ScopeResponse
from keywright.contract.revocation import RevocationResponse, VerifierSessionResponse
from keywright.contract.usage import (
    CountResponse,
    DaysResponse,
    RefusalResponse,
    SecretUseResponse,
    SourceResponse,
    UsageResponse,
)
from keywright.contract.verdicts import (
    BatchResponse,
    ExplanationResponse,
    FactsResponse,
    LimitStateResponse,
    VerifiedKey,
    VerifyResponse,
)

__all__ = [
    "ActorResponse",
    "ApiKeyResponse",
    "BatchResponse",
    "BulkRevocationResponse",
    "ConnectedSessionResponse",
    "ContractError",
    "CountResponse",
    "CreatedApiKeyResponse",
    "CreatedVerifierResponse",
    "DaysResponse",
    "DelayResponse",
    "ErrorResponse",
    "EventResponse",
    "ExpiringKeysResponse",
    "ExplanationResponse",
    "FactsResponse",
    "FeedBeat",
    "FeedDrop",
    "FeedHello",
    "FeedReset",
    "FieldError",
    "FoundApiKeyResponse",
    "FoundPairResponse",
    "KeyFiguresResponse",
    "KeyStatesResponse",
    "LimitStateResponse",
    "NamedRevocationResponse",
    "NamedSessionResponse",
    "OptionsResponse",
    "OrganizationEventResponse",
    "OrganizationResponse",
    "PolicyResponse",
    "ProblemResponse",
    "RateLimitResponse",
    "RefusalResponse",
    "RevocationFiguresResponse",
    "RevocationResponse",
    "ScopeResponse",
    "SecretResponse",
    "SecretUseResponse",
    "SourceResponse",
    "TopFiguresResponse",
    "UnusedKeysResponse",
    "UsageResponse",
    "UsedApiKeyResponse",
    "UsedKeyResponse",
    "UsedOrganizationResponse",
    "VerdictCountsResponse",
    "VerdictFiguresResponse",
    "VerifiedKey",
    "VerifierFiguresResponse",
    "VerifierResponse",
    "VerifierSessionResponse",
    "VerifyResponse",
    "read",
    "written",
]
