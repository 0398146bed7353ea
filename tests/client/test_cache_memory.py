"""The memory of the keys that an in-process verifier caches, against the weights by which its cache is bounded."""

import gc
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
import pytest

from keywright.client.verifier._answers import Answer, read_answer
from keywright.client.verifier._checker import ORDINARY_BYTES, CachedKey, LocalChecker, UncachedRequest
from keywright.keys.addresses import MOST_NETWORKS
from keywright.keys.cache import WEIGHT_BYTES
from keywright.keys.verdict import KeyFacts

KEYS = 300
LEAST, MOST = 0.95, 1.25
"""How the weight of all keys relates to their memory: never much below it, and at most a quarter above."""

Parts = tuple[dict[str, Any], dict[str, Any]]


def plain(number: int) -> Parts:
    return {}, {}


def telling(number: int) -> Parts:
    metadata = {"plan": "team", "seat": number}
    return {"external_id": f"customer-{number}", "metadata": metadata}, {"expires_at": 1_800_000_000.5 + number}


def restricted(number: int) -> Parts:
    networks = [f"10.{number >> 8}.{number & 255}.0/24", f"11.{number >> 8}.{number & 255}.0/24"]
    return {}, {"allowed_ips": networks, "rate_limits": [["minute", 1000 + number, 60], ["day", 100_000, 86_400]]}


def large(number: int) -> Parts:
    scopes = [f"resource-{number}-{each}:read" for each in range(50)]
    networks = [f"2001:db8:{number:x}:{each:x}::/64" for each in range(MOST_NETWORKS)]
    return {"name": "\N{PILE OF POO}" * 95 + f"{number:05}", "scopes": scopes}, {"allowed_ips": networks}


def answer(number: int, change: Callable[[int], Parts]) -> Answer:
    """Read the answer of the service on a key."""
    shown, known = change(number)
    key = {
        "id": str(UUID(int=number)),
        "org_id": str(UUID(int=number % 50)),
        "org_external_id": f"org_{number % 50}",
        "created_by": f"auth0|{number % 50}",
        "name": f"Key {number:06}",
        "environment": "live",
        "scopes": ["reports:read", "orders:write"],
        "expires_at": None,
        "external_id": None,
        "metadata": {},
        **shown,
    }
    body = {"valid": True, "code": "valid", "api_key": key, "facts": {"revoked": False, "expires_at": None, **known}}
    return read_answer(httpx.Response(200, json=body))


def facts(number: int, change: Callable[[int], Parts]) -> KeyFacts:
    """Give the facts of that answer."""
    found = answer(number, change).facts
    assert found is not None
    return found


def digest(number: int) -> bytes:
    return sha256(number.to_bytes(4, "big")).digest()


@pytest.mark.parametrize("change", [plain, telling, restricted, large])
def test_the_weight_is_the_memory(change: Callable[[int], Parts]) -> None:
    """The weights of keys, short and long, tell how much memory they take, between 95 and 125 per cent."""
    keys: dict[bytes, CachedKey] = {}
    # What is made once for all keys is made before, with other keys.
    for number in range(KEYS, KEYS + 100):
        facts(number, change)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(KEYS):
            keys[digest(number)] = CachedKey(facts(number, change))
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    weight = sum(key.weight for key in keys.values())
    assert LEAST <= weight * WEIGHT_BYTES / memory <= MOST, (weight * WEIGHT_BYTES / KEYS, memory / KEYS)


def test_large_keys_take_the_place_of_several() -> None:
    """The capacity counts keys of up to 2 KiB: as many large ones are not cached, however many are looked up."""
    checker = LocalChecker(brand="kw", capacity=100, outage_seconds=0)
    for change, most in ((plain, 100), (large, 100 * ORDINARY_BYTES // 10_000)):
        for number in range(120):
            request = UncachedRequest("", digest(number))
            look_up = checker.begin(request)
            checker.end(look_up, answer(number, change))
        assert most / 2 <= len(checker) <= most
        checker.drop_all()
