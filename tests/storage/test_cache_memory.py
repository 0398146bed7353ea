"""The memory of cached keys, against the weights by which the cache is bounded."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from keywright.api.verify import bodies, proxy_answers
from keywright.keys.cache import WEIGHT_BYTES, KeyCache, preparing
from keywright.storage.shared.readers import SQLITE, FactsReader, column_names

KEYS = 20_000
LEAST, MOST = 0.95, 1.25
"""How the weight of all keys relates to their memory: never much below it, and at most a quarter above."""

Row = dict[str, Any]


def plain(number: int) -> Row:
    return {}


def telling(number: int) -> Row:
    return {
        "external_id": f"customer-{number}",
        "metadata": json.dumps({"plan": "team", "seat": number}),
        "expires_at": 1_800_000_000_000_000 + number,
    }


def restricted(number: int) -> Row:
    limits = [["minute", 1000 + number, 60], ["day", 100_000, 86_400]]
    return {"allowed_ips": json.dumps([f"192.0.{number >> 8}.{number & 255}/32"]), "rate_limits": json.dumps(limits)}


def long(number: int) -> Row:
    return {
        "name": "\N{PILE OF POO}" * 95 + f"{number:05}",
        "scopes": json.dumps([f"resource-{number}-{each}:read" for each in range(50)]),
        "allowed_ips": json.dumps([f"10.{each}.{number % 256}.{number // 256}/32" for each in range(20)]),
        "metadata": json.dumps({"text": "x" * 400 + str(number)}),
    }


# Long ones take a millisecond each; beside so much memory, what the cache itself takes is little.
@pytest.mark.parametrize(("change", "keys"), [(plain, KEYS), (telling, KEYS), (restricted, KEYS), (long, KEYS // 4)])
def test_the_weight_is_the_memory(change: Callable[[int], Row], keys: int) -> None:
    """
    The weights of keys, short and long, tell how much memory the cache takes, between 95 and 125 per cent; the answers
    that are written when a key is cached are in both.
    """
    prepare = preparing(bodies.prepare, proxy_answers.prepare)
    reader, cache = FactsReader(SQLITE), KeyCache(2**40, prepare=prepare)
    # What the readers keep by themselves is made before, with other keys.
    fill(reader, KeyCache(2**40, prepare=prepare), change, range(keys, keys + 10))
    gc.collect()
    tracemalloc.start()
    try:
        weight = fill(reader, cache, change, range(keys))
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert LEAST <= weight * WEIGHT_BYTES / memory <= MOST, (weight * WEIGHT_BYTES / keys, memory / keys)


def fill(reader: FactsReader, cache: KeyCache, change: Callable[[int], Row], numbers: range) -> int:
    """Look up keys whose rows have no object in common, as rows of a database; give their weight."""
    weight = 0
    for number in numbers:
        facts = reader.facts(*map(copied, row(number, change).values()))
        digest = sha256(number.to_bytes(4, "big")).digest()
        cache.end(cache.begin(digest), facts)
        weight += facts.weight
    return weight


def row(number: int, change: Callable[[int], Row]) -> Row:
    values: Row = {
        **dict.fromkeys(column_names(FactsReader.facts)),
        "id": number.to_bytes(16, "big"),
        "org_id": (number % 500).to_bytes(16, "big"),
        "name": f"Billing export {number}",
        "environment": "live",
        "scopes": '["invoices:read","reports:*"]',
        "created_by": f"auth0|6543210fedcba{number % 700:09}",
        "metadata": "{}",
        "org_external_id": f"org_{number % 500:016}",
    }
    return {**values, **change(number)}


def copied(value: Any) -> Any:
    """Give an equal object that nothing else refers to, as a database driver gives it."""
    return (
        bytes(bytearray(value)) if isinstance(value, bytes) else (value + "x")[:-1] if isinstance(value, str) else value
    )
