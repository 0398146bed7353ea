"""The facts of keys by the digests of their secrets, for agents: no secret is sent."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.feed import PREFIX, ByVerifier
from keywright.api.http.bodies import Body
from keywright.api.http.routing import operation
from keywright.api.verify import bodies
from keywright.api.verify.bodies import KeyCheck
from keywright.keys.verdict import NO_REQUIREMENTS
from keywright.service.checking.key_facts import facts_of
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker

MOST_DIGESTS = 128
_NOTHING_ASKED = KeyCheck("", NO_REQUIREMENTS, cost=0, explain=False, metadata=False)


class FactsBody(BaseModel):
    """The digests of the secrets, SHA-256 as 64 hexadecimal digits each."""

    model_config = ConfigDict(extra="forbid")

    digests: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(min_length=1, max_length=MOST_DIGESTS)
    include: list[Literal["metadata"]] = Field(default=[], max_length=1)


class KeyFactsRoutes:
    """
    `/api/v2/verifier/facts`.

    Args:
        checker: Reads the facts.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    @operation("POST", f"{PREFIX}/facts")
    async def facts(self, subscriber: ByVerifier, wanted: Body[FactsBody]) -> Response:
        """
        Give the facts of keys, as verifications with `Keywright-Facts: 1` do, in the order of the digests.

        They are read from the database, so they are newer than every change that the agent has acknowledged.
        """
        verifier, body = subscriber.verifier, wanted.model
        caller = Caller(verifier.name, verifier, None)
        metadata = bool(body.include)
        digests = [bytes.fromhex(text) for text in body.digests]
        found = await facts_of(self._checker, caller, digests, metadata=metadata)
        results = b",".join(bodies.write(_NOTHING_ASKED, verdict, facts=True) for verdict in found)
        headers = {"Cache-Control": "no-store"}
        return Response(b'{"results":[%b]}' % results, media_type="application/json", headers=headers)
