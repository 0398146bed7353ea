"""
The exceptions of the service, each with a stable code. Refusals of use cases are values, not exceptions.

    Fault
    ├── InvalidToken              the caller's token is malformed, expired or for another audience
    ├── OrganizationRequired      the token is valid, but names no organization
    ├── OrganizationConflict      the token is valid, but another organization owns the id that it claims
    ├── PermissionMissing         the token is valid, but lacks a permission
    ├── SessionRequired           the request comes from the console, and nobody is signed in there
    ├── ForeignRequest            the request has the cookie's door, but comes from no page of the console
    ├── SignInRefused             the issuer, or a check of its answer, refused a sign-in
    ├── TooManyChanges            the organization has used up its changes
    └── Unavailable               a fault on our side; the same request may succeed later
        ├── AuthUnavailable       the issuer's signing keys could not be fetched
        ├── StorageUnavailable    the database is unavailable or too busy
        ├── LimitsUnavailable     the shared counts of rate limits cannot be reached
        └── Overloaded            too many requests of the same organization or caller wait already

Statuses and sentences for callers are in `api/http/problems.py`.
"""

from typing import ClassVar


class Fault(Exception):
    """The root of the tree; `code` is stable, for programs."""

    code: ClassVar[str] = "internal"


class InvalidToken(Fault):
    """
    The token cannot be trusted.

    Args:
        reason: A sentence for the caller that quotes nothing of the token; printable ASCII without quotes or
            backslashes, because it goes into `error_description` (RFC 6750, section 3).
    """

    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OrganizationRequired(Fault):
    """The token is valid but names no organization."""

    code = "organization_required"


class OrganizationConflict(Fault):
    """
    Another issuer or external id owns the id of the token's organization.

    Args:
        org_id: That id, as text, for the log.
    """

    code = "organization_conflict"

    def __init__(self, org_id: str) -> None:
        super().__init__(org_id)
        self.org_id = org_id


class PermissionMissing(Fault):
    """The token is valid but lacks *permission*."""

    code = "insufficient_permission"

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


class SessionRequired(Fault):
    """Nobody is signed in at the console, or the session has ended."""

    code = "session_required"


class ForeignRequest(Fault):
    """
    A request to the door of the console that no page of the console sends.

    Args:
        reason: A sentence for the log.
    """

    code = "foreign_request"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignInRefused(Fault):
    """
    A sign-in did not succeed; a new one may.

    Args:
        reason: A sentence for the log that quotes no secret.
    """

    code = "sign_in_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyChanges(Fault):
    """
    The organization has used up its changes; nothing was done.

    Args:
        retry_after: Seconds until there is one more.
    """

    code = "too_many_changes"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Unavailable(Fault):
    """
    A fault on our side.

    Args:
        reason: A sentence for the log, never for the caller.
        retry_after: Seconds until a retry makes sense.
    """

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class AuthUnavailable(Unavailable):
    """The issuer's signing keys could not be fetched, or are too old to be trusted."""

    code = "auth_unavailable"


class StorageUnavailable(Unavailable):
    """The database is unavailable, too busy or not migrated. The change may or may not have been stored."""

    code = "storage_unavailable"


class LimitsUnavailable(Unavailable):
    """The shared counts of rate limits cannot be reached, and the settings allow no local ones."""

    code = "limits_unavailable"


class Overloaded(Unavailable):
    """Too many requests of one organization or caller wait already. Those of others are not affected."""

    code = "overloaded"
