"""
The exceptions of calls to a service.

    KeywrightError
    ├── Refused                the service refused the request, or failed at it
    │   └── CredentialRefused  the service does not accept the credential of this verifier
    ├── ServiceUnavailable     the service is unavailable; retry later
    └── UnexpectedAnswer       the answer is not a Keywright service's
"""

from collections.abc import Sequence

from keywright.contract import FieldError


class KeywrightError(Exception):
    """
    The root of the tree; its text is a sentence for people.

    `idempotency_key` is set where a creation or rotation failed. The same call with it gives the first answer if the
    change was made, and makes the change otherwise. It is as secret as the private key in that answer.
    """

    idempotency_key: str | None = None


class Refused(KeywrightError):
    """
    The service refused the request, or failed at it.

    Args:
        code: Stable, for programs, such as `not_found`.
        status: The HTTP status.
        detail: A sentence for people.
        request_id: Finds the request in the service's log; None when a proxy before the service answered.
        errors: All flaws, with `validation_failed`.
        retry_after: Seconds until a retry makes sense; None where the service gave none.
    """

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        *,
        request_id: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.errors = tuple(errors)
        self.retry_after = retry_after


class CredentialRefused(Refused):
    """
    The service does not accept the credential of this verifier. No key can be checked until it has a valid one.

    This is no verdict on the presented key, so its caller must not get an answer that the key is invalid.
    """


class ServiceUnavailable(KeywrightError):
    """
    The service is unavailable. A requested change may or may not have been made.

    Args:
        detail: A sentence for people.
        retry_after: Seconds until a retry makes sense; None where the service gave none.
        request_id: As for `Refused`.
    """

    def __init__(self, detail: str, *, retry_after: int | None = None, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.request_id = request_id


class UnexpectedAnswer(KeywrightError):
    """The answer is not a Keywright service's; the address is probably wrong."""
