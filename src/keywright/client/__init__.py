"""
What other people install: calls to a Keywright service from Python, and the checking of keys inside an API server.

Knows `keywright.keys`, httpx and the standard library, and nothing of the service's own rooms.
"""

from keywright.client.bodies import UNCHANGED
from keywright.client.errors import (
    CredentialRefused,
    FieldError,
    KeywrightError,
    Refused,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from keywright.client.management import ManagementClient
from keywright.client.records import ApiKey, CreatedApiKey, Page, Secret
from keywright.client.trail import Event, EventPage, KeyOptions, Receipt, Usage
from keywright.client.verifier import AsyncVerifier, KeyInfo, Timing, Verdict, Verifier
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason, Status
from keywright.keys.spending import LimitState
from keywright.keys.verdict import Code, Explanation

__all__ = [
    "UNCHANGED",
    "ApiKey",
    "AsyncVerifier",
    "Code",
    "CreatedApiKey",
    "CredentialRefused",
    "Event",
    "EventPage",
    "Explanation",
    "FieldError",
    "KeyInfo",
    "KeyOptions",
    "KeywrightError",
    "LimitState",
    "ManagementClient",
    "Page",
    "RateLimit",
    "Receipt",
    "Refused",
    "RevocationReason",
    "Secret",
    "ServiceUnavailable",
    "Status",
    "Timing",
    "UnexpectedAnswer",
    "Usage",
    "Verdict",
    "Verifier",
]
