"""
The Python SDK: calls to a Keywright service, and the verification of keys inside an API server.

It imports `keywright.contract`, `keywright.keys`, httpx and the standard library, and nothing of the service. Only the
names exported here and by the modules for frameworks are stable.

The verifiers are imported when they are first used: they need asyncio, whose import takes a program that only manages
keys longer than its calls.
"""

from typing import TYPE_CHECKING, Any

from keywright.client._answers import ApiKeyPage, AuditLogPage, UsagePage
from keywright.client._bodies import UNCHANGED
from keywright.client._management import AsyncManagementClient, ManagementClient
from keywright.client.errors import (
    CredentialRefused,
    KeywrightError,
    Refused,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from keywright.contract import (
    ApiKeyResponse,
    CreatedApiKeyResponse,
    EventResponse,
    FieldError,
    OptionsResponse,
    RateLimitResponse,
    RevocationResponse,
    SecretResponse,
    UsageResponse,
)
from keywright.keys.rate_limiter import LimitState
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason, Status
from keywright.keys.verdict import Code, Explanation

if TYPE_CHECKING:
    from keywright.client.verifier import AsyncVerifier, KeyInfo, Timing, Verdict, Verifier

_OF_THE_VERIFIER = frozenset({"AsyncVerifier", "KeyInfo", "Timing", "Verdict", "Verifier"})

__all__ = [
    "UNCHANGED",
    "ApiKeyPage",
    "ApiKeyResponse",
    "AsyncManagementClient",
    "AsyncVerifier",
    "AuditLogPage",
    "Code",
    "CreatedApiKeyResponse",
    "CredentialRefused",
    "EventResponse",
    "Explanation",
    "FieldError",
    "KeyInfo",
    "KeywrightError",
    "LimitState",
    "ManagementClient",
    "OptionsResponse",
    "RateLimit",
    "RateLimitResponse",
    "Refused",
    "RevocationReason",
    "RevocationResponse",
    "SecretResponse",
    "ServiceUnavailable",
    "Status",
    "Timing",
    "UnexpectedAnswer",
    "UsagePage",
    "UsageResponse",
    "Verdict",
    "Verifier",
]


def __getattr__(name: str) -> Any:
    """Import a name of the verifiers."""
    if name not in _OF_THE_VERIFIER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keywright.client import verifier

    return getattr(verifier, name)
