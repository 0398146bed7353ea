"""The facts of keys by digest, for processes that check keys themselves without having seen the database."""

import asyncio
from collections.abc import Sequence

from keywright.keys.verdict import NO_REQUIREMENTS, judge
from keywright.service.checking.verdicts import NOT_FOUND, Caller, KeyVerdict
from keywright.service.checking.verification import Checker


async def facts_of(
    checker: Checker, caller: Caller, digests: Sequence[bytes], *, metadata: bool = False
) -> Sequence[KeyVerdict]:
    """
    Read the facts of keys from the database; nothing is counted, neither limits nor usage nor verdicts.

    Args:
        checker: Its look-ups are used.
        caller: Whose turns the look-ups take.
        digests: The digests of the secrets.
        metadata: Whether the facts have to contain the metadata; long ones are read one by one.

    Returns:
        In the order of *digests*; `not_found` without facts for a digest that is no secret's.

    Raises:
        Overloaded: Too many look-ups of the caller wait.
        StorageUnavailable: The database cannot be reached.
    """
    share, verification, now = caller.share, checker.verification, checker.clock
    found = await asyncio.gather(*[verification.find(digest, share, shared=False) for digest in digests])
    verdicts = [
        NOT_FOUND if facts is None else KeyVerdict(judge(facts, NO_REQUIREMENTS, now()), facts, digest)
        for digest, facts in zip(digests, found, strict=True)
    ]
    return [await verification.with_metadata(verdict, share) for verdict in verdicts] if metadata else verdicts
