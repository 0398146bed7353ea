"""The `Authorization` header, as RFC 6750 has it."""

import re
from collections.abc import Sequence

from keywright.api.problems import REALM, Refusal

# RFC 6750, section 2.1: one space, then b64token. What the token itself must look like is for others to say. A flag
# that lets case pass would be asked at each of a token's many characters.
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9\-._~+/]+=*)")
_SCHEME = "bearer"


def bearer_of(authorization: Sequence[str]) -> str:
    """
    Take the token out of the one `Authorization` header.

    Args:
        authorization: The values of all headers of that name.

    Raises:
        Refusal: `missing_token` without a bearer token, `invalid_request` for two headers or a malformed one.
    """
    if len(authorization) > 1:
        raise _malformed("There is more than one Authorization header.")
    if not authorization or authorization[0][: len(_SCHEME)].lower() != _SCHEME:
        raise Refusal("missing_token", headers={"WWW-Authenticate": REALM})
    match = _BEARER.fullmatch(authorization[0])
    if match is None:
        raise _malformed("The Authorization header is not of the form Bearer <token>.")
    return match[1]


def _malformed(sentence: str) -> Refusal:
    return Refusal("invalid_request", sentence, headers={"WWW-Authenticate": f'{REALM}, error="invalid_request"'})
