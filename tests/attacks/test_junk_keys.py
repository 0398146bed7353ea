"""A caller that checks keys which do not exist, one by one and in batches: what it costs others."""

import itertools

import pytest

from keywright.keys.pair import mint, mint_credential
from keywright.service.checking.look_ups import MOST_QUERIES, MOST_TOGETHER
from tests.attacks.neighbours import CONNECTIONS, KEYS, Neighbourhood, neighbourhood

VERIFY = f"{KEYS}/verify"
IN_A_BATCH = 100
MOST_CREDENTIALS = 4
_numbers = itertools.count(1)


def junk() -> dict[str, str]:
    """Give the check of a well-formed key that does not exist."""
    seed = next(_numbers).to_bytes(32, "big")
    return {"key": mint(seed, brand="kw", environment="live").private.reveal()}


async def _check_first_sights(both: Neighbourhood) -> None:
    for key in await both.made("victim", 8):
        answer = await both.ask("victim", "POST", VERIFY, json={"key": key["private_key"]})
        assert (answer.status_code, answer.json()["code"]) == (200, "valid")


@pytest.mark.parametrize("batches", [True, False])
async def test_junk_keys(fresh_url: str, batches: bool) -> None:
    """
    However many keys a caller has looked up, few bounded queries are under way, and nobody is answered 503.

    So the first look-up of a key waits for no more than that, also behind batches: it is in the next query.
    """
    requests = [
        {"method": "POST", "path": f"{VERIFY}/batch", "json": {"keys": [junk() for _ in range(IN_A_BATCH)]}}
        if batches
        else {"method": "POST", "path": VERIFY, "json": junk()}
        for _ in range(CONNECTIONS)
    ]
    async with neighbourhood(fresh_url) as both:
        async with both.under_attack(*requests) as statuses:
            await _check_first_sights(both)
        assert set(statuses) == {200}
        assert both.watched.attackers.most <= MOST_QUERIES
        assert max(both.watched.queries) <= MOST_TOGETHER


async def test_junk_credentials(fresh_url: str) -> None:
    """
    However many credentials of verifiers a stranger invents, few of them are looked up at once.

    So the first look-up of a key waits for no more than that.
    """
    seeds = (number.to_bytes(32) for number in itertools.count(1))
    credentials = [mint_credential(next(seeds), brand="kw").reveal() for _ in range(CONNECTIONS)]
    requests = [{"method": "POST", "path": VERIFY, "json": {"key": "x"}, "credential": each} for each in credentials]
    async with neighbourhood(fresh_url) as both:
        async with both.under_attack(*requests) as statuses:
            await _check_first_sights(both)
        assert set(statuses) == {401}
        # One of the victim's is counted, too.
        assert both.watched.attackers.most <= MOST_CREDENTIALS + 1
