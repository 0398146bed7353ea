"""
What other people install: calls to a Keywright service from Python, and the checking of keys inside an API server.

Knows `keywright.keys`, httpx and the standard library, and nothing of the service's own rooms.
"""

from keywright.client.errors import CredentialRefused, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.client.management import ApiKey, CreatedApiKey, ManagementClient, Page
from keywright.client.verifier import AsyncVerifier, KeyInfo, Timing, Verdict, Verifier
from keywright.keys.verdict import Code, Explanation

__all__ = [
    "ApiKey",
    "AsyncVerifier",
    "Code",
    "CreatedApiKey",
    "CredentialRefused",
    "Explanation",
    "KeyInfo",
    "KeywrightError",
    "ManagementClient",
    "Page",
    "Refused",
    "ServiceUnavailable",
    "Timing",
    "UnexpectedAnswer",
    "Verdict",
    "Verifier",
]
