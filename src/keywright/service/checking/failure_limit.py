"""The limit of look-ups of unknown keys."""

MOST_FAILURES = 60
FAILURE_SECONDS = 60.0
_MOST_NETWORKS = 50_000


class FailureLimit:
    """
    Limits the look-ups of unknown keys per network, as a leaky bucket.

    Never per key or id: strangers could lock an owner out. It applies after the checksum, so that typing errors do not
    count, and only to keys that are not cached, so that keys in use go on working.

    Args:
        allowed: Failures at once before a network is refused.
        seconds: How long a full bucket takes to become empty.
        most: How many networks to count; beyond it the oldest half is dropped.
    """

    def __init__(
        self, *, allowed: int = MOST_FAILURES, seconds: float = FAILURE_SECONDS, most: int = _MOST_NETWORKS
    ) -> None:
        self._allowed = allowed
        self._rate = allowed / seconds
        self._half = max(1, most // 2)
        self._recent: dict[str, tuple[float, float]] = {}
        self._older: dict[str, tuple[float, float]] = {}

    def exceeded(self, network: str, now: float) -> bool:
        """Tell whether one more failure of *network* at *now*, in monotonic seconds, is above the limit."""
        return self._level(network, now) + 1 > self._allowed

    def note(self, network: str, now: float) -> None:
        """Count a failure from *network* at *now*."""
        level = self._level(network, now) + 1
        self._older.pop(network, None)
        if len(self._recent) >= self._half and network not in self._recent:
            self._older, self._recent = self._recent, {}
        self._recent[network] = (level, now)

    def _level(self, network: str, now: float) -> float:
        level, since = self._recent.get(network) or self._older.get(network) or (0.0, now)
        return max(0.0, level - (now - since) * self._rate)
