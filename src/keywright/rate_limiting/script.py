"""The script that Redis runs for every request: how it is called, and how its answer is read."""

import hashlib
from collections.abc import Sequence
from importlib import resources

from keywright.keys.rate_limits import RateLimit

TEXT = resources.files(__package__).joinpath("count.lua").read_text(encoding="utf-8")
# By which Redis knows it, and no protection of anything.
DIGEST = hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest()

Arguments = tuple[str | int, ...]


def arguments(key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Arguments:
    """
    Give what follows the script in a call.

    The keys of one API key share a hash tag, so that they lie on one node of a cluster. A limit of which anything
    changed is another key.
    """
    tag = f"keywright:{{{key_id.hex()}}}"
    keys = [f"{tag}:{name}:{limit}:{window}" for name, limit, window in limits]
    sizes = [size for _, limit, window in limits for size in (limit, window)]
    return (len(keys), *keys, cost, *sizes)


def read(answer: bytes) -> tuple[float, list[float]]:
    """Give the moment of a call on Redis's clock, and what had been kept of each limit until then."""
    now, *full_at = map(float, answer.split())
    return now, full_at
