"""
What can go wrong when a service is called.

    KeywrightError
    ├── Refused                the service answered, and the answer is no
    │   └── CredentialRefused  it does not accept the credential of this verifier
    ├── ServiceUnavailable     the service is away or cannot work right now; try again later
    └── UnexpectedAnswer       whatever answered is no Keywright service
"""

from collections.abc import Sequence

from keywright.contract import FieldError


class KeywrightError(Exception):
    """
    The root of the tree; its text is a sentence for people.

    `idempotency_key` is given where a creation or rotation failed: the same call with it gives what was done, if it was
    done, and does it otherwise. It is as secret as the private key that it may bring.
    """

    idempotency_key: str | None = None


class Refused(KeywrightError):
    """
    The service turned the request down, or failed at it.

    Args:
        code: Stable, for programs, such as `not_found`.
        status: The HTTP status.
        detail: A sentence.
        request_id: Finds the request in the service's log; None when something before the service answered.
        errors: For `validation_failed`, every flaw.
        retry_after: Seconds after which trying again makes sense, where the service said so.
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
    The service does not accept the credential of this verifier: no key can be checked until somebody mends that.

    It says nothing about the key that was to be checked, so whoever presented it must not be told it is bad.
    """


class ServiceUnavailable(KeywrightError):
    """
    The service cannot be reached or cannot work right now. A change that was asked for may or may not have been made.

    Args:
        detail: A sentence.
        retry_after: Seconds after which trying again makes sense, where the service said so.
        request_id: As for `Refused`.
    """

    def __init__(self, detail: str, *, retry_after: int | None = None, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.request_id = request_id


class UnexpectedAnswer(KeywrightError):
    """The answer is not one that a Keywright service gives; the address is probably wrong."""
