"""
What other people install: calls to a Keywright service from Python.

Knows `keywright.keys`, httpx and the standard library, and nothing of the service's own rooms.
"""

from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.client.management import ApiKey, CreatedApiKey, ManagementClient, Page

__all__ = [
    "ApiKey",
    "CreatedApiKey",
    "KeywrightError",
    "ManagementClient",
    "Page",
    "Refused",
    "ServiceUnavailable",
    "UnexpectedAnswer",
]
