"""Wiring that the service and an agent share: how both of them check keys, and how many connections they keep open."""

import resource
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Protocol

from pydantic import SecretStr

from keywright import telemetry
from keywright.api.http.connections import Connections
from keywright.api.verify import bodies, proxy_answers
from keywright.api.verify.responses import log_refused_key
from keywright.keys.cache import WEIGHT_BYTES, KeyCache, preparing
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code
from keywright.rate_limiting.engine import RunningLimiter, open_limiter
from keywright.rate_limiting.shared import OnOutage
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.ports import KeyStore, RateLimiter, Seconds
from keywright.service.checking.verification import Checker, Verification
from keywright.service.turns import Turns

# As many keys with limits as keys of the usual size in the cache.
_LIMITED_KEYS_PER_MIB = 1024
# Files that are no connections of clients: of the database or the service, of Redis, of the metrics.
_OTHER_FILES = 128

Counters = Mapping[Code, Callable[[int], object]]
"""For each code a function that adds to the number of verdicts."""


class CheckingSettings(Protocol):
    """The settings of checking, which the service and an agent have in common."""

    @property
    def key_brand(self) -> str:
        """The first part of every key."""

    @property
    def cache_mib(self) -> int:
        """The memory of the cache of keys, in MiB."""

    @property
    def outage_seconds(self) -> int:
        """How long cached keys are accepted during an outage, in seconds."""

    @property
    def redis_url(self) -> SecretStr | None:
        """The Redis in which processes count rate limits together; None where each counts alone."""

    @property
    def limits_on_outage(self) -> OnOutage:
        """What happens to keys with rate limits while Redis is unavailable."""


def key_cache(settings: CheckingSettings) -> KeyCache:
    """Build the cache of keys, each prepared for all ways to ask about it."""
    return KeyCache(
        settings.cache_mib * 1024 * 1024 // WEIGHT_BYTES,
        size_of=attrgetter("weight"),
        prepare=preparing(bodies.prepare, proxy_answers.prepare),
    )


def rate_limiter(settings: CheckingSettings, *, monotonic: Seconds) -> RunningLimiter:
    """Build the rate limiter; it is not connected yet."""
    return open_limiter(
        None if settings.redis_url is None else settings.redis_url.get_secret_value(),
        monotonic=monotonic,
        capacity=settings.cache_mib * _LIMITED_KEYS_PER_MIB,
        on_outage=settings.limits_on_outage,
        on_uncounted=telemetry.limits_uncounted.inc,
    )


def metric_counters() -> Counters:
    """Give the counters of the metric of verdicts."""
    return {code: telemetry.verdicts.labels(code.value).inc for code in Code}


def checker(
    settings: CheckingSettings,
    store: KeyStore,
    cache: KeyCache,
    usage: UsageBook,
    limiter: RateLimiter,
    *,
    counters: Counters,
    now: Seconds,
    monotonic: Seconds,
    turns: Turns | None = None,
) -> Checker:
    """
    Build the use case of checking.

    Args:
        settings: Of checking.
        store: Where keys are looked up.
        cache: The cached keys.
        usage: The usage book.
        limiter: The rate limiter.
        counters: Count the verdicts.
        now: Seconds since the epoch, by the clock that decides on expiry.
        monotonic: Seconds on the clock of *cache*.
        turns: Of the look-ups of metadata; None for any number at once.
    """
    verification = Verification(
        store,
        cache,
        brand=settings.key_brand,
        now=now,
        monotonic=monotonic,
        outage_seconds=settings.outage_seconds,
        turns=turns,
        on_wait=telemetry.queue_wait_seconds.labels("look-ups").observe,
    )
    return Checker(
        verification=verification,
        usage=usage,
        failures=FailureLimit(),
        limiter=limiter,
        on_refused=log_refused_key,
        counters=counters,
        now=now,
        monotonic=monotonic,
    )


def connections(most: int) -> Connections:
    """Build the bounds of connections: *most*, and as many as the limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Connections(most, files=max(16, files - _OTHER_FILES))
