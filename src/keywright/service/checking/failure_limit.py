"""
The failure limit: how often look-ups of unknown keys may fail, for each caller and each network of its customers.

A look-up costs a read of the database. The address that it is counted under is the caller's own claim (`client_ip`), so
buckets belong to one caller: what a caller claims takes nothing from the customers of another one.
"""

from collections import OrderedDict

from keywright.keys.addresses import failure_networks
from keywright.service.checking.verdicts import Caller

MOST_FAILURES = 60
FAILURE_SECONDS = 60.0
# A /48 is a whole site, such as an office; a /64 is one of its 65,536 networks.
WIDER = 4
MOST_NETWORKS = 1024
MOST_CALLERS = 256


class FailureLimit:
    """
    Limits the look-ups of unknown keys per caller and network, as leaky buckets.

    An IPv4 address has one bucket, that of its /24. An IPv6 address has two, those of its /64 and its /48; the second
    one takes `WIDER` times as many. Never per key or id: strangers could lock an owner out. The limit applies after the
    checksum, so that typing errors do not count, and only to keys that are not cached, so that keys in use go on
    working.

    Memory is bounded by the number of networks of one caller times the number of callers. Buckets that have become
    empty are dropped first. A caller that fails in more networks loses its own oldest buckets, never another caller's.

    Args:
        allowed: Failures at once before a /24 or /64 is refused.
        seconds: How long a full bucket takes to become empty.
        networks: How many buckets one caller may have.
        callers: How many callers may have buckets; beyond it the one whose last failure is the oldest loses its own.
    """

    def __init__(
        self,
        *,
        allowed: int = MOST_FAILURES,
        seconds: float = FAILURE_SECONDS,
        networks: int = MOST_NETWORKS,
        callers: int = MOST_CALLERS,
    ) -> None:
        self._seconds = seconds
        # Seconds that one failure takes to leave its bucket, by the place of the network in `failure_networks`.
        self._each = (seconds / allowed, seconds / (allowed * WIDER))
        self._networks = networks
        self._callers = callers
        self.buckets: OrderedDict[bytes, OrderedDict[str, float]] = OrderedDict()
        """By caller and network, the time when each is empty; both in the order of the last failures."""

    def __len__(self) -> int:
        """Return the number of buckets."""
        return sum(map(len, self.buckets.values()))

    def exceeded(self, caller: Caller, address: str | None, now: float) -> bool:
        """Tell whether one more failure at *now*, in monotonic seconds, is above a limit; False without an address."""
        buckets = self.buckets.get(_identity(caller)) if self.buckets else None
        if buckets is None:
            return False
        return any(
            buckets.get(network, now) - now > self._seconds - each
            for network, each in zip(failure_networks(address), self._each, strict=False)
        )

    def note(self, caller: Caller, address: str | None, now: float) -> None:
        """Count a failure at *now* in the networks of *address*."""
        networks = failure_networks(address)
        if not networks:
            return
        identity = _identity(caller)
        buckets = self.buckets.setdefault(identity, OrderedDict())
        self.buckets.move_to_end(identity)
        for network, each in zip(networks, self._each, strict=False):
            # Look-ups that began at the same time may all fail; a bucket gets no fuller than full.
            buckets[network] = min(max(now, buckets.get(network, now)) + each, now + self._seconds)
            buckets.move_to_end(network)
        while len(buckets) > self._networks or next(iter(buckets.values())) <= now:
            buckets.popitem(last=False)
        while len(self.buckets) > self._callers or self._is_over(next(iter(self.buckets.values())), now):
            self.buckets.popitem(last=False)

    def _is_over(self, buckets: OrderedDict[str, float], now: float) -> bool:
        """Tell whether the last failure of a caller is so old that all its buckets are empty."""
        return next(reversed(buckets.values())) + self._seconds <= now


def _identity(caller: Caller) -> bytes:
    """Give the verifier or the organization; all callers of an open forward authentication are one."""
    if caller.verifier is not None:
        return b"v" + caller.verifier.id.bytes
    return b"o" + (caller.org_id or b"")
