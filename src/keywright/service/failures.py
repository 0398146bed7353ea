"""
A limit on failures by source address: who tries one unknown key after another is not looked up for any more.

By address alone, never by a key or its id: strangers could lock an owner out. Asked only after the checksum, so typing
errors do not count, and only for keys that are not held in memory, so the keys in use at that address go on working.
"""

ALLOWED = 60
PER_SECONDS = 60.0
MOST_ADDRESSES = 50_000


class FailureLimit:
    """
    Counts failures as a bucket that leaks: `allowed` at once, and as many again in `seconds`.

    Args:
        allowed: Failures before an address is turned away.
        seconds: How long it takes for that many to be forgotten.
        most: How many addresses are watched; beyond it the oldest half is forgotten.
    """

    def __init__(self, *, allowed: int = ALLOWED, seconds: float = PER_SECONDS, most: int = MOST_ADDRESSES) -> None:
        self._allowed = allowed
        self._rate = allowed / seconds
        self._half = max(1, most // 2)
        self._recent: dict[str, tuple[float, float]] = {}
        self._older: dict[str, tuple[float, float]] = {}

    def exceeded(self, address: str, now: float) -> bool:
        """Tell whether one more failure of *address* at *now*, in seconds of a monotonic clock, is one too many."""
        return self._level(address, now) + 1 > self._allowed

    def note(self, address: str, now: float) -> None:
        """Count a failure from *address* at *now*."""
        level = self._level(address, now) + 1
        self._older.pop(address, None)
        if len(self._recent) >= self._half and address not in self._recent:
            self._older, self._recent = self._recent, {}
        self._recent[address] = (level, now)

    def _level(self, address: str, now: float) -> float:
        level, since = self._recent.get(address) or self._older.get(address) or (0.0, now)
        return max(0.0, level - (now - since) * self._rate)
