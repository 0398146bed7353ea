"""
The events of the change feed (Server-Sent Events), each with the members of its data.

`elapsed` is the age of the stream, and `age` the time since the service began its last complete reading of the changes,
both in seconds.
"""

from dataclasses import dataclass
from typing import Final

from keywright.contract.codec import Count

FEED: Final = "/api/v2/verifier/feed"
"""The path of the feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReset:
    """`reset`: changes may have been missed; the verifier empties its cache."""

    elapsed: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHello:
    """`hello`: the first event of a stream."""

    time: float
    """The service's clock, in seconds since the epoch"""
    bound: float
    """Seconds without an event after which a cache is no longer fresh"""
    cursor: str
    elapsed: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDrop:
    """`drop`: keys that changed. The event's id is the cursor behind these changes."""

    digests: tuple[str, ...]
    """The digests of the keys' texts, 64 hexadecimal digits each"""
    seqs: tuple[Count, ...]
    """The numbers of changes that are acknowledged one by one: the cursor does not pass them"""
    elapsed: float
    age: float
    within: float = 0.0
    """The seconds over which the verifiers of this service spread their acknowledgements"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedBeat:
    """`beat`: nothing changed."""

    cursor: str
    elapsed: float
    age: float
