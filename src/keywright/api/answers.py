"""How a key is answered: as JSON, with its entity tag, kept by nobody who shares caches."""

from datetime import datetime
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from keywright.api.conditions import etag_of
from keywright.api.idempotency import Reply
from keywright.api.problems import Refusal, refusal_of
from keywright.api.schemas import ApiKeyResponse, CreatedApiKeyResponse
from keywright.keys.record import ApiKey
from keywright.service.ports import Clock
from keywright.service.refusals import Refused
from keywright.service.wishes import Created

PATH = "/api/v2/api-keys"
TAG = "API keys"
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
        as_json(ApiKeyResponse.fields_of(outcome, clock())),
        media_type="application/json",
        headers={"ETag": etag_of(outcome), **READ_HEADERS},
    )


def shown_once(created: Created, now: datetime) -> Reply:
    """Say a key with its new private half; only `idempotency.answer_of` sends it."""
    body = as_json(CreatedApiKeyResponse.fields_of_created(created, now))
    return Reply({"ETag": etag_of(created.api_key)}, body)


def as_json(fields: Any) -> bytes:
    """
    Write fields that a model of `schemas` has given.

    They are not read into the model first, which costs more than all the rest: they come out of our own records, and
    that they are written as the model would write them is tested.
    """
    return to_json(fields, inf_nan_mode="null")
