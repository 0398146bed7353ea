"""
What checking needs from outside, as contracts. An adapter keeps every sentence written here.

tests/storage/checking_contract.py holds the promises of the store as tests; they run on every store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.faults import Unavailable


class Seconds(Protocol):
    """Reads a clock, in seconds."""

    def __call__(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyUsage:
    """
    The uses of one secret in one hour from one source, through one verifier; or its refusals with one `code`.

    `code` is `valid` for uses, and never `not_found`. `hour` is the beginning of the hour, in UTC. `network` is a /24
    or /48 in CIDR form, None where the address is not known. `agent` is the family of the user agent, such as
    `python-httpx`, None where there is none.
    """

    key_id: UUID
    digest: bytes
    hour: datetime
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int
    code: Code = Code.VALID


class UsageBatch(NamedTuple):
    """
    The name of a batch of usage: its reporter and its number.

    Batches of one reporter are numbered from 1, upwards. A number that is not above the last one written was written
    before.
    """

    reporter: UUID
    number: int


class Use(NamedTuple):
    """A key that was used in an hour, which is named by its beginning, in UTC."""

    hour: datetime
    key_id: UUID


class RecentlyUsed(NamedTuple):
    """The digests of the secrets of recently used keys; the next ones begin below `last`, None where none are left."""

    digests: Sequence[bytes]
    last: Use | None


class PartlyFound(Exception):
    """
    Raised by a store that found keys, and others on which it may not let anybody decide.

    Args:
        found: The facts of the found keys, as `KeyStore.find_keys` gives them.
        faults: By digest, the fault that the requests for each of the others raise.
    """

    def __init__(self, found: Mapping[bytes, KeyFacts], faults: Mapping[bytes, Unavailable]) -> None:
        super().__init__()
        self.found = found
        self.faults = faults


class KeyStore(Protocol):
    """
    The part of the store that a verification needs. The rules of `management.ports.Store` hold: one call, one
    transaction, durable when it returns, `StorageUnavailable` within a few seconds.
    """

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """
        Read the facts of the keys with these secrets from the primary, by digest, in one query.

        A digest that is no secret's, or that of a deleted key, is not in it. Those of a secret that has retired are,
        and say so. Any number of digests, of any length, equal ones among them.

        Raises:
            StorageUnavailable: The store cannot be reached.
            PartlyFound: It could, and not everything that it found may be decided on.
        """
        ...

    async def find_metadata(self, digest: bytes) -> str | None:
        """
        Read the metadata of the key with this secret, a JSON object as compact text; None where there is no such key.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...


class CheckingStore(KeyStore, Protocol):
    """What checking keeps in the store."""

    async def recently_used(self, *, below: Use | None, limit: int) -> RecentlyUsed:
        """
        Name the secrets of the keys that were used last, the latest hour first, and the newest key of an hour.

        A key comes once for each hour of its use, with its current secret and a replaced one that still works.

        Args:
            below: The use to begin below; None for the latest.
            limit: How many uses are read at most.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...

    async def add_usage(self, usage: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        """
        Add uses up: hourly counts, sources (a secret's latest 50 are kept), and the first and last use of the secret.
        Add refusals up apart from them: hourly counts by code, and sources (another latest 50).

        `last_used_at` only ever becomes later, and `first_used_at` earlier; refusals change neither. Writes nothing but
        these and the number of the batch, and nothing at all where *usage* is empty; a key that is unknown by now is
        passed over. *usage* may be read several times, and in any thread.

        A batch that was written before is not written again. Whether it was is decided in the transaction that adds up,
        so a batch may be repeated when its result is not known, also while its first transaction still runs. The
        last number of a reporter is kept for 7 days: see `management.task_ports.KeyTaskStore.purge`.
        """
        ...


class RateLimiter(Protocol):
    """
    Counts requests against the rate limits of keys.

    It is called only for a key that passed every other rule. A request takes its cost of all limits of a key, or of
    none.
    """

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision | None:
        """Take *cost* of every limit or of none, without waiting; None when that takes a request: see `acquire`."""
        ...

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """
        Take *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: Redis is unavailable, and by the settings no process counts alone.
        """
        ...
