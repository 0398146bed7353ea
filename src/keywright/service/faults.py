"""
What can go wrong that is not an answer, each with a code that never changes.

    Fault
    ├── InvalidToken              the caller's token is bad, expired or meant for somebody else
    ├── OrganizationRequired      the token is good, but names no organization
    ├── PermissionMissing         the token is good, but does not allow this
    └── Unavailable               our own trouble; the same request may succeed later
        ├── AuthUnavailable       the issuer's signing keys could never be had
        ├── StorageUnavailable    the database is unavailable or too busy
        └── LimitsUnavailable     what is left of a key's limits cannot be told

Statuses and sentences for callers live in `api/problems.py`.
"""

from typing import ClassVar


class Fault(Exception):
    """The root of the tree; `code` is stable and meant for programs."""

    code: ClassVar[str] = "internal"


class InvalidToken(Fault):
    """
    The token cannot be trusted.

    Args:
        reason: A sentence for the caller, without anything out of the token; printable ASCII without quotes or
            backslashes, since it goes into `error_description` (RFC 6750, section 3).
    """

    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OrganizationRequired(Fault):
    """The token is good but names no organization to act for."""

    code = "organization_required"


class PermissionMissing(Fault):
    """The token is good but lacks *permission*."""

    code = "insufficient_scope"

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


class Unavailable(Fault):
    """
    Our own trouble.

    Args:
        reason: For the log, never for the caller.
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class AuthUnavailable(Unavailable):
    """The issuer's signing keys could never be had, or are older than may be trusted."""

    code = "auth_unavailable"


class StorageUnavailable(Unavailable):
    """The database is unavailable, too busy or not migrated. What was asked may or may not have been stored."""

    code = "storage_unavailable"


class LimitsUnavailable(Unavailable):
    """The count that the processes share cannot be reached, and the settings want no other."""

    code = "limits_unavailable"
