"""How a key is answered: as JSON, with its entity tag, kept by nobody who shares caches."""

from datetime import datetime

from starlette.responses import Response

from keywright.api.conditions import etag_of
from keywright.api.conversion import api_key_response, created_response
from keywright.api.idempotency import Reply
from keywright.api.problems import Refusal, refusal_of
from keywright.contract.codec import written
from keywright.keys.record import ApiKey
from keywright.service.ports import Clock
from keywright.service.refusals import Refused
from keywright.service.wishes import Created

PATH = "/api/v2/api-keys"
READ_HEADERS = {"Cache-Control": "private, no-cache"}


def path_of(api_key: ApiKey) -> str:
    """Give the path of a key."""
    return f"{PATH}/{api_key.id}"


def one_key(outcome: ApiKey | Refused | None, clock: Clock) -> Response:
    """
    Answer a key as it stands.

    Args:
        outcome: What the use case gave, None where there is no such key.
        clock: Asked only now, so that an end which the use case has just set is told as one.

    Raises:
        Refusal: There is none, or the use case refused.
    """
    if outcome is None:
        raise Refusal("not_found")
    if isinstance(outcome, Refused):
        raise refusal_of(outcome)
    return Response(
        written(api_key_response(outcome, clock())),
        media_type="application/json",
        headers={"ETag": etag_of(outcome), **READ_HEADERS},
    )


def shown_once(created: Created, now: datetime) -> Reply:
    """Say a key with its new private half; only `idempotency.answer_of` sends it."""
    return Reply({"ETag": etag_of(created.api_key)}, written(created_response(created, now)))
