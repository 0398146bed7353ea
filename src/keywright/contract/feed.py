"""
The events of the change feed (Server-Sent Events): what the data of each holds.

`elapsed` is how long the stream has lasted, and `age` how long ago the service began to read the changes that it has
sent, both in seconds.
"""

from dataclasses import dataclass

from keywright.contract.codec import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReset:
    """`reset`: nobody knows what was missed; the cache is to be emptied."""

    elapsed: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHello:
    """`hello`: where the stream begins."""

    time: float
    """The service's clock, in seconds since the epoch"""
    bound: float
    """Seconds after which a cache that hears nothing is not fresh any more"""
    cursor: str
    elapsed: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDrop:
    """`drop`: keys that changed; the event's id is the cursor after them."""

    digests: tuple[str, ...]
    """The digests of their private keys, 64 hexadecimal digits each"""
    seqs: tuple[Count, ...]
    """The numbers of the changes, for the acknowledgement"""
    elapsed: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedBeat:
    """`beat`: nothing changed."""

    cursor: str
    elapsed: float
    age: float
