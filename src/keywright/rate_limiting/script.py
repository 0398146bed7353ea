"""The script that Redis runs for every request: its arguments and its answer."""

import hashlib
from collections.abc import Sequence
from importlib import resources

from keywright.keys.rate_limits import RateLimit

TEXT = resources.files(__package__).joinpath("count.lua").read_text(encoding="utf-8")
# Redis finds the script by this digest; it has no security purpose.
DIGEST = hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest()

Arguments = tuple[str | int, ...]


def arguments(key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Arguments:
    """
    Give the arguments of a call after the script.

    The Redis keys of one API key share a hash tag, so that they are on one node of a cluster. A limit with another
    name, size or window is another Redis key.
    """
    tag = f"keywright:{{{key_id.hex()}}}"
    keys = [f"{tag}:{name}:{limit}:{window}" for name, limit, window in limits]
    sizes = [size for _, limit, window in limits for size in (limit, window)]
    return (len(keys), *keys, cost, *sizes)


def read(answer: bytes) -> tuple[float, list[float]]:
    """Give the time of a call on Redis's clock, and the stored time of each limit before it."""
    now, *full_at = map(float, answer.split())
    return now, full_at
