"""
Idempotent requests: the `Idempotency-Key` header, the canonical form of a request, and its stored answer.

The idempotency key is a secret of the caller: it alone opens the stored answer, which contains a private key. So it is
never logged, and a short one is refused, because it could be guessed.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from keywright.api.http.problems import Refusal, refusal_of
from keywright.api.http.routing import Input, InputReader, Trust, header_values
from keywright.service.management.commands import Created
from keywright.service.management.idempotency import Answered, IdempotentRequest
from keywright.service.management.refusals import Refused

KEY_PATTERN = "^[!-~]{22,255}$"
_KEY = re.compile(KEY_PATTERN[1:-1])


class Reply(NamedTuple):
    """A good answer as it is stored: its own headers, and the body."""

    headers: dict[str, str]
    body: bytes

    def packed(self) -> bytes:
        """Write it as bytes: the headers as one line of JSON, then the body."""
        return json.dumps(self.headers, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def unpacked(cls, packed: bytes) -> "Reply":
        """Read back what `packed` wrote."""
        headers, _, body = packed.partition(b"\n")
        return cls(json.loads(headers), body)


def canonical_request(method: str, path: str, value: dict[str, Any]) -> bytes:
    """
    Write a request in its canonical form: equal requests give equal bytes.

    Args:
        method: In capitals.
        path: In its canonical form: no slash at the end, ids in lower case.
        value: The parsed body; an absent one is an empty object.
    """
    return f"{method} {path}\n{json.dumps(value, sort_keys=True, separators=(',', ':'))}".encode()


def idempotent_request(
    key: str | None, method: str, path: str, value: dict[str, Any], reply: Callable[[Created], Reply]
) -> IdempotentRequest | None:
    """Make the idempotent request of the use cases, with `canonical_request` as its content; None without a key."""
    if key is None:
        return None
    return IdempotentRequest(key, canonical_request(method, path, value), lambda created: reply(created).packed())


def answer_of(outcome: Created | Answered | Refused, reply: Callable[[Created], Reply], *, status: int) -> Response:
    """
    Write the answer that shows a private key, new or replayed; no cache may store it.

    Raises:
        Refusal: The use case refused.
    """
    if isinstance(outcome, Refused):
        raise refusal_of(outcome)
    headers, body = Reply.unpacked(outcome.body) if isinstance(outcome, Answered) else reply(outcome)
    headers["Cache-Control"] = "no-store"
    if isinstance(outcome, Answered) and outcome.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(body, status_code=status, media_type="application/json", headers=headers)


_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A secret that the caller makes for each new request. The same request with the same secret "
    "within 24 hours is not done twice: it gets the same answer",
    "schema": {
        "type": "string",
        "format": "idempotency-key",
        "minLength": 22,
        "maxLength": 255,
        "pattern": "^[!-~]*$",
    },
}


class IdempotencyInput(Input):
    """The `Idempotency-Key` header; None without one."""

    codes = ("invalid_request", "idempotency_key_in_use", "idempotency_key_reused")
    headers = ("Idempotency-Replayed",)
    header = _HEADER

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        return InputReader(_idempotency_key)


def _idempotency_key(request: Request) -> str | None:
    given = header_values(request, b"idempotency-key")
    if len(given) > 1:
        raise Refusal("invalid_request", "There is more than one Idempotency-Key header.")
    if given and _KEY.fullmatch(given[0]) is None:
        raise Refusal(
            "invalid_request", "The Idempotency-Key header must have 22 to 255 visible ASCII characters, no spaces."
        )
    return given[0] if given else None


IdempotencyKey = Annotated[str | None, IdempotencyInput()]
