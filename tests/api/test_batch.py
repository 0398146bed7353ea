"""Batches: each question is answered, and counted, as it would be alone."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from keywright.api.verify.batch import Batches
from keywright.api.verify.bodies import read
from keywright.keys.addresses import read_networks
from keywright.keys.pair import mint
from keywright.keys.rate_limits import RateLimit
from keywright.keys.usage import hour_end
from keywright.service.checking.verdicts import Caller
from tests.api.checking_plane import FACTS, KEY, NOW_SECONDS, OTHER_KEY, PAIR, CheckingPlane

KINDS: dict[str, dict[str, Any]] = {
    "limited": {"rate_limits": (RateLimit("minute", 5, 60), RateLimit("day", 100, 86_400))},
    "bound": {"networks": read_networks(["192.0.2.0/24"])},
    "revoked": {"revoked": True},
    "expiring": {"expires_at": NOW_SECONDS + 1000},
    "going": {"retires_at": NOW_SECONDS + 5000},
    "foreign": {"org_id": b"x" * 16},
    "disabled": {"disabled": True},
    "told": {"external_id": "c", "org_external_id": "o", "created_by": "s", "metadata": '{"a":"\u00e9"}'},
    "long": {"metadata": None},
}
PAIRS = {kind: mint(kind.encode().ljust(32), brand="kw", environment="live") for kind in KINDS}
KEYS = [KEY, OTHER_KEY, "junk", "é", *(pair.private.reveal() for pair in PAIRS.values())]
WISHES: list[dict[str, Any]] = [
    *[{}] * 6, {"scopes": ["orders:read"]}, {"scopes": ["no:such"], "explain": True}, {"cost": 3}, {"cost": 1000},
    {"environment": "sandbox", "explain": True}, {"client_ip": "192.0.2.7"}, {"client_ip": "198.51.100.1"},
    {"include": ["metadata"]}, {"include": ["metadata"], "cost": 2},
]  # fmt: skip
CALLERS = [Caller("edge", None, None)] * 4 + [Caller("other", None, None), Caller("service", None, FACTS.org_id)]


class Side(CheckingPlane):
    """What answers questions, with a key of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.store.facts |= {
            PAIRS[kind].private.digest: replace(FACTS, id=kind.encode().ljust(16), **change)
            for kind, change in KINDS.items()
        }
        self.store.metadata[PAIRS["long"].private.digest] = '{"b":1}'
        self.batches = Batches(self.checker)

    def traces(self) -> dict[str, Any]:
        """Tell what was counted and noted."""
        return {
            "uses": dict(self.usage._sums),
            # A refused one is asked for twice, and spends nothing either time.
            "spent": dict(self.limiter._kept),
            "failures": self.failures.buckets,
            "verdicts": self.verdicts,
        }


def written(asked: list[dict[str, Any]]) -> bytes:
    return json.dumps({"keys": asked}).encode()


@pytest.fixture
def side() -> Iterator[Side]:
    side = Side()
    side.follow()
    return side


async def ask(side: Side, *asked: dict[str, Any], caller: Caller = CALLERS[0]) -> list[str]:
    """Ask a batch, and give the codes."""
    body, _ = await side.batches.answer(caller, written(list(asked)))
    return [result["code"] for result in json.loads(body)["results"]]


async def test_each_as_it_would_be_alone() -> None:
    """In a thousand batches of any keys, from any caller, at any time, every answer and every count is the same."""
    chance = Random(20261126)
    together, alone = Side(), Side()
    for _ in range(1500):
        caller = chance.choice(CALLERS)
        usual = {"key": chance.choice(KEYS), **chance.choice(WISHES)}
        asked = [
            usual if chance.random() < 0.5 else {"key": chance.choice(KEYS), **chance.choice(WISHES)}
            for _ in range(chance.choice([1, 3, 10]))
        ]
        if chance.random() < 0.2:
            asked = [dict(reversed(one.items())) for one in asked]
        seconds, follow, away = chance.choice([0.0, 0.1, 2.0, 30.0]), chance.random() < 0.9, chance.random() < 0.05
        changed = PAIRS[chance.choice(list(KINDS))].private.digest if chance.random() < 0.1 else None
        for side in (together, alone):
            side.time.seconds += seconds
            side.epoch.seconds += seconds
            side.limiter.far = away
            if changed is not None:
                side.store.facts[changed] = replace(side.store.facts[changed], name=f"{seconds}")
                side.cache.drop([changed])
            if follow:
                side.follow()
        body, stale = await together.batches.answer(caller, written(asked))
        answers = [await alone.batches.answer_one(caller, read(json.dumps(one).encode())) for one in asked]
        assert body == b'{"results":[' + b",".join(each for each, _ in answers) + b"]}", asked
        assert stale is any(each for _, each in answers)
        # Verdicts are counted once the loop has come round.
        await asyncio.sleep(0)
        assert together.traces() == alone.traces()


async def test_what_changed_is_not_answered_as_before(side: Side) -> None:
    """A key that was dropped is looked up again, whatever was answered before."""
    assert await ask(side, {"key": KEY}) == ["valid"]
    assert await ask(side, {"key": KEY}, {"key": KEY}) == ["valid", "valid"]
    side.store.facts[PAIR.private.digest] = replace(FACTS, revoked=True)
    side.cache.drop([PAIR.private.digest])
    assert await ask(side, {"key": KEY}) == ["revoked"]


@pytest.mark.parametrize(
    ("kind", "end", "code"),
    [("expiring", NOW_SECONDS + 1000, "expired"), ("going", NOW_SECONDS + 5000, "replaced")],
)
async def test_an_answer_ends_with_the_key(side: Side, kind: str, end: float, code: str) -> None:
    """A key that expires, and a secret that retires, is refused from that moment on."""
    asked = {"key": PAIRS[kind].private.reveal()}
    for _ in range(3):
        assert await ask(side, asked) == ["valid"]
    side.epoch.seconds = end
    assert await ask(side, asked) == [code]


async def test_uses_are_noted_by_the_hour(side: Side) -> None:
    """Uses after the end of an hour are noted in the next one, though the answer is the same."""
    for _ in range(3):
        await ask(side, {"key": KEY})
    side.epoch.seconds = hour_end(NOW_SECONDS)
    for _ in range(2):
        await ask(side, {"key": KEY})
    assert [record.uses for record in side.uses()] == [3, 2]


async def test_refusals_are_noted(side: Side) -> None:
    """Each refusal of a key in a batch is noted with its code, from memory or looked up; what costs 0 is not."""
    limited = PAIRS["limited"].private.reveal()
    for key, code in (("revoked", "revoked"), ("limited", "rate_limited")):
        asked = {"key": PAIRS[key].private.reveal()}
        if key == "limited":
            await ask(side, *[asked] * 5)
            side.uses()
        assert await ask(side, asked, asked, {**asked, "cost": 0, "scopes": ["no:such"]}, {"key": "junk"}) == [
            code, code, "revoked" if key == "revoked" else "insufficient_scope", "not_found",
        ]  # fmt: skip
        assert [(record.source.code, record.uses) for record in side.uses()] == [(code, 2)]
    assert await ask(side, {"key": limited, "cost": 0}) == ["valid"]
    assert side.uses() == []


async def test_who_asks_is_told_apart(side: Side) -> None:
    """Uses are counted for the caller, and a cached answer is never given to another caller."""
    foreign = {"key": PAIRS["foreign"].private.reveal()}
    assert await ask(side, foreign) == ["valid"]
    assert await ask(side, foreign, caller=Caller("other", None, None)) == ["valid"]
    # A token's caller may bear any name.
    assert await ask(side, foreign, caller=Caller("other", None, FACTS.org_id)) == ["not_found"]
    # And writes nothing into the usage of the key, of which it may learn nothing.
    assert sorted(record.source.verifier for record in side.uses()) == ["edge", "other"]


async def test_nothing_counts_that_is_not_followed(side: Side) -> None:
    """Once the changes were not followed for the bound, a key is looked up, whatever was answered before."""
    await ask(side, {"key": KEY})
    await ask(side, {"key": KEY})
    before = side.store.look_ups
    side.time.seconds += 2
    assert await ask(side, {"key": KEY}) == ["valid"]
    assert side.store.look_ups == before + 1
